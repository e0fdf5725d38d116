"""Changes to a config in plain values."""

from __future__ import annotations


def put(config: dict, path: str, value: object) -> None:
    """Set one key, given as a path with dots."""
    *folders, last = path.split(".")
    for key in folders:
        config = config[int(key)] if isinstance(config, list) else config.setdefault(key, {})
    config[int(last) if isinstance(config, list) else last] = value
