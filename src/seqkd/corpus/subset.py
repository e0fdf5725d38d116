"""An evenly spread share of a text: what a teacher decodes, or which references are added."""

from __future__ import annotations


def is_taken(number: int, percent: int) -> bool:
    """Say whether a line, counted from 0, is in a share of `percent` lines in every 100."""
    return (number + 1) * percent // 100 > number * percent // 100
