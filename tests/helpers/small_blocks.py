"""`seqkd` that decodes a few lines as one unit, so that little text has many units."""

from __future__ import annotations

from seqkd import cli
from seqkd.steps import decode

BLOCK = 10

if __name__ == "__main__":
    decode.BLOCK = BLOCK
    cli.main()
