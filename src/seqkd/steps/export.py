"""Write a model for deployment: a folder, a page for any browser, or ONNX.

DIR is one self-contained folder: weights, vocabularies, config, model card. It needs nothing but
seqkd: `seqkd translate DIR`, or `seqkd.load("DIR")` in Python. --format converts the weights first
(see `seqkd quantize`).

--web writes one HTML file that translates in any browser, without a network or a server. It holds
the model in int8, converted first if need be.

--onnx writes a folder for ONNX Runtime: encoder and one step of the decoder as two graphs, the
tokenizers, and a short program that translates with them, without seqkd. --format fp32 or int8.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from seqkd.arguments import MODEL_NAMES, Output, check_outputs, model_file
from seqkd.config.naming import STORAGES
from seqkd.errors import SeqkdError

if TYPE_CHECKING:
    from seqkd.model_files.model_file import ModelInfo


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("model", type=model_file, metavar="MODEL", help="model file or exported folder")
    add("folder", type=Output, nargs="?", metavar="DIR", help="output: the folder")
    add("--format", metavar="FORMAT", help=f"store as: {', '.join(STORAGES)} (default: as it is)")
    add("--compress", action="store_true", help="compress the model file (.zst)")
    add("--web", type=Output, metavar="FILE", help="output: a page that translates, HTML")
    add("--onnx", type=Output, metavar="DIR", help="output: a folder for ONNX Runtime")
    add("--scores", type=Path, nargs="+", default=[], help="scores files for the model card")
    add(
        "--teacher-scores",
        type=Path,
        nargs="+",
        default=[],
        help="scores files of the teacher, for the card of a page",
    )
    add("--diagnostics", type=Path, help="diagnostics of the experiment, for the card")
    add("--licence", default="", help="licence of the training data, for the model card")


def run(args: argparse.Namespace) -> None:
    """Write what is asked for."""
    if args.folder is None and args.web is None and args.onnx is None:
        raise SeqkdError("nothing to write; give DIR right after MODEL, --web FILE or --onnx DIR")
    if args.compress and args.folder is None:
        raise SeqkdError("--compress is for the model file in DIR; give DIR")
    if args.teacher_scores and args.web is None:
        raise SeqkdError("--teacher-scores is for the card of a page; give --web FILE")
    if args.format not in (None, "int8") and args.folder is None and args.onnx is None:
        raise SeqkdError(f"--format {args.format} is for DIR or --onnx; a page is always in int8")
    if args.onnx is not None and args.format not in (None, "fp32", "int8"):
        raise SeqkdError(f"--onnx takes --format fp32 or int8, got {args.format}")
    if args.folder is not None and (args.format or args.compress):  # else the file stays as it is
        check_outputs([args.model, *(args.folder / name for name in MODEL_NAMES)])
    from seqkd.model_files.model_file import read_info
    from seqkd.translation.export import lost_by

    info = read_info(args.model)
    lost = lost_by(info, args.diagnostics)
    storage = args.format or info.storage
    if args.folder is not None:
        _write_folder(args, storage, lost)
    if args.web is not None:
        _write_page(args, info, lost)
    if args.onnx is not None:
        from seqkd.translation.onnx_folder import export_onnx

        int8 = storage == "int8"
        export_onnx(args.model, args.onnx, args.scores, args.licence, lost, int8=int8)


def _write_folder(args: argparse.Namespace, storage: str, lost: list[str]) -> None:
    from seqkd.model_files.conversion import convert
    from seqkd.translation.export import export

    with tempfile.TemporaryDirectory() as temporary:
        model = args.model
        if args.format or args.compress:
            model = Path(temporary) / f"model.safetensors{'.zst' if args.compress else ''}"
            convert(args.model, storage, model)
        export(model, args.folder, args.scores, args.licence, lost)


def _write_page(args: argparse.Namespace, info: ModelInfo, lost: list[str]) -> None:
    from seqkd.files import is_compressed
    from seqkd.model_files.conversion import convert
    from seqkd.translation.web_page import write_page

    with tempfile.TemporaryDirectory() as temporary:
        model = args.model
        if info.storage != "int8" or is_compressed(model):
            model = Path(temporary) / "model.safetensors"
            convert(args.model, "int8", model)
        write_page(model, args.web, args.scores, args.teacher_scores, args.licence, lost)
