"""Evenly spread lines of a text: a share to decode or to add, or a sample to measure."""

from __future__ import annotations


def is_taken(number: int, percent: int) -> bool:
    """Return whether a line, counted from 0, is in a share of `percent` in every 100 lines."""
    return (number + 1) * percent // 100 > number * percent // 100


def evenly_spread(count: int, size: int) -> list[int]:
    """Return `size` line numbers below `count`; all of them if there are no more."""
    size = min(size, count)
    return [place * count // size for place in range(size)]
