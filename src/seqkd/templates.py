"""The jinja2 templates of a package."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates_of(package: str, *, html: bool = True) -> Environment:
    """Return the templates in the folder `templates` of a package, of HTML or of plain text.

    They count as code of the module that calls this: see `machine.code_hash`.
    """
    return Environment(
        loader=PackageLoader(package),
        extensions=["jinja2.ext.do"],
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=html,
        keep_trailing_newline=not html,
    )
