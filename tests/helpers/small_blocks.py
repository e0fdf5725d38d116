"""`seqkd` that decodes a few lines as one block, so that little text has many blocks.

After each block it waits for SECONDS_PER_BLOCK.
"""

from __future__ import annotations

import os
import time

from seqkd import cli
from seqkd.steps import decode
from seqkd.translation import shards

BLOCK = 10

if __name__ == "__main__":
    write, seconds = shards.write_shard, float(os.environ.get("SECONDS_PER_BLOCK", "0"))

    def write_slowly(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        time.sleep(seconds)

    decode.BLOCK, shards.write_shard = BLOCK, write_slowly
    cli.main()
