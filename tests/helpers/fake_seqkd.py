"""Stands in for `seqkd` in tests of the workflow: each step writes a hash of its inputs."""

import hashlib
import sys
from pathlib import Path

OUTPUTS = {
    "fetch": ["output"],
    "monolingual": ["output", "funnel"],
    "part": ["output"],
    "subset": ["output-src", "output-tgt"],
    "vocab": ["src-vocab", "tgt-vocab", "manifest"],
    "align": ["output"],
    "train": ["model", "curve", "manifest"],
    "soft-targets": ["output", "manifest"],
    "decode": ["output"],
    "decode-hugging-face": ["output"],
    "adopt": ["output", "manifest"],
    "merge": ["output"],
    "select": ["output-src", "output-tgt", "manifest"],
    "quantize": ["output"],
    "export": ["web"],
    "evaluate": ["scores", "greedy", "beam-output"],
    "speed": ["output"],
    "table": ["csv", "markdown", "latex"],
    "diagnose": ["output"],
    "report": ["output"],
}


def main() -> None:
    """Write the outputs of the step that the command line names."""
    verb, *words = sys.argv[1:]
    options: dict[str, list[str]] = {}
    values = options.setdefault("", [])
    for word in words:
        if word.startswith("--"):
            values = options.setdefault(word[2:], [])
        else:
            values.append(word)
    outputs = [Path(options[name][0]) for name in OUTPUTS.get(verb, [])]
    if verb in ("corpus", "test-set"):
        outputs = list(folder_outputs(verb, options))
    inputs = [Path(word) for values in options.values() for word in values]
    content = hashlib.sha256(verb.encode())
    for path in inputs:
        if path.is_file() and path not in outputs:
            content.update(path.read_bytes())
    if "figures" in options:
        Path(options["figures"][0]).mkdir(parents=True, exist_ok=True)
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content.hexdigest()} {path.name}\n" * 4, encoding="utf-8")
        if verb == "speed":  # what a test looks at
            path.write_text(f"beam {options['beam'][0]}", encoding="utf-8")


def folder_outputs(verb: str, options: dict[str, list[str]]):
    """Yield the files of the two steps that name them themselves."""
    folder = Path(options["output-dir"][0])
    config = Path(options["config"][0]).read_text(encoding="utf-8")
    top = dict(line.split(": ", 1) for line in config.splitlines() if ": " in line)
    splits = [options["name"][0]] if verb == "test-set" else ["train", "dev"]
    if verb == "corpus" and "held_out" in config.partition("test_sets")[2]:
        splits.append("held-out")
    for split in splits:
        yield from (folder / f"{split}.{top[side]}" for side in ("source", "target"))
    yield folder / ("funnel.json" if verb == "corpus" else f"{splits[0]}.json")


main()
