"""Write a model as one self-contained folder: weights, vocabularies, config, model card.

The folder needs nothing but seqkd: `seqkd translate DIR`, or `seqkd.load("DIR")` in Python.
--format converts the weights first (see `seqkd quantize`).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from seqkd.config.naming import STORAGES


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="model file")
    add("folder", type=Path, metavar="DIR", help="output: the folder")
    add("--format", metavar="FORMAT", help=f"store as: {', '.join(STORAGES)} (default: as it is)")
    add("--compress", action="store_true", help="compress the model file (.zst)")
    add("--scores", type=Path, nargs="+", default=[], help="scores files for the model card")
    add("--licence", default="", help="of the training data, for the model card")


def run(args: argparse.Namespace) -> None:
    """Write the folder."""
    from seqkd.model_files.conversion import convert
    from seqkd.model_files.model_file import read_info
    from seqkd.translation.export import export

    with tempfile.TemporaryDirectory() as temporary:
        model = args.model
        if args.format or args.compress:
            model = Path(temporary) / f"model.safetensors{'.zst' if args.compress else ''}"
            convert(args.model, args.format or read_info(args.model).storage, model)
        export(model, args.folder, args.scores, args.licence)
