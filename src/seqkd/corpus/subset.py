"""An evenly spread share of a text: of what a teacher decodes, or of added references."""

from __future__ import annotations


def is_taken(number: int, percent: int) -> bool:
    """Return whether a line, counted from 0, is in a share of `percent` in every 100 lines."""
    return (number + 1) * percent // 100 > number * percent // 100
