"""A folder in which a small `seqkd train` can run as a process of its own, and be killed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file
from torch import Tensor

from processes import Process
from seqkd.config.vocab import VocabConfig
from seqkd.vocabulary.learning import train_vocabulary

SMOKE = Path(__file__).parents[1] / "data" / "smoke"


@dataclass(frozen=True)
class TrainingFolder:
    """Inputs of one training in a folder, and what came of it."""

    path: Path
    save_seconds: int = 0

    @classmethod
    def make(
        cls, path: Path, pairs: int = 160, save_seconds: int = 0, **training: object
    ) -> TrainingFolder:
        """Write text, vocabulary and entry; `training` lies over settings that suit tests."""
        path.mkdir()
        texts = {
            language: (SMOKE / f"smoke.{language}").read_text(encoding="utf-8").split("\n")
            for language in ("de", "en")
        }
        for language, lines in texts.items():
            for name, part in (("train", lines[:pairs]), ("dev", lines[pairs : pairs + 10])):
                (path / f"{name}.{language}").write_text("\n".join(part) + "\n", encoding="utf-8")
        words = train_vocabulary([*texts["de"], *texts["en"]], VocabConfig(size=200))
        (path / "vocab").write_bytes(words.serialise())
        entry = {
            "model": "lstm-1x24.nll",
            "seed": 3,
            "architecture": {"family": "lstm", "layers": 1, "width": 24, "dropout": 0.3},
            "training": {
                "epochs": 2, "batch_sentences": 8, "warmup_updates": 10, "precision": "fp32",
                "validations_per_epoch": 2, "guided_alignment": None, **training,
            },
            "targets": "gold",
            "objective": {},
        }  # fmt: skip
        (path / "config.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
        return cls(path, save_seconds)

    def command(self, processes: int = 1) -> list[str]:
        """Return the words of the command line, to be called in the folder."""
        words = {
            "config": "config.yaml", "source": "de", "target": "en", "src-vocab": "vocab",
            "tgt-vocab": "vocab", "train-src": "train.de", "train-tgt": "train.en",
            "dev-src": "dev.de", "dev-tgt": "dev.en", "model": "model.safetensors",
            "curve": "curve.jsonl", "manifest": "manifest.json", "state": "state",
            "save-seconds": str(self.save_seconds), "device": "cpu", "processes": str(processes),
        }  # fmt: skip
        return ["train", *(word for name, value in words.items() for word in (f"--{name}", value))]

    def start(self, processes: int = 1) -> Process:
        """Start the training in one process, or the launcher of several."""
        return Process("seqkd", *self.command(processes), folder=self.path)

    def finish(self, processes: int = 1) -> TrainingFolder:
        """Run the training to its end."""
        job = self.start(processes)
        assert job.wait() == 0, job.stderr
        return self

    @property
    def state(self) -> Path:
        """The checkpoint of a killed run."""
        return self.path / "state" / "checkpoint.pt"

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors of the finished model."""
        return load_file(self.path / "model.safetensors")

    def model_bytes(self) -> bytes:
        """Return the model file."""
        return (self.path / "model.safetensors").read_bytes()

    def curve(self) -> list[dict[str, float]]:
        """Return what each validation measured."""
        text = (self.path / "curve.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def manifest(self) -> dict[str, Any]:
        """Return the manifest."""
        return json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
