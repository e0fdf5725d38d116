"""The systems of a comparison: how each is installed, told what to do, and run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from job import RESULT, Job
from table import Measurement

from seqkd.errors import SeqkdError
from seqkd.machine.manifest import peak_memory_mb

HERE = Path(__file__).parent
TORCH = importlib.metadata.version("torch")  # peers get the same one, so none has a newer library

# What each environment holds; a list a call of pip. OpenNMT-py asks for a PyTorch below 2.3, which
# comes with gigabytes for GPUs; it runs on ours, so it is installed without its requirements.
PACKAGES = {
    "eole": [[f"torch=={TORCH}", "eole==0.6.4", "aiohttp"]],
    "opennmt-py": [
        [
            f"torch=={TORCH}", "numpy<2", "setuptools<81", "configargparse", "ctranslate2>=4,<5",
            "fasttext-wheel", "flask", "pyahocorasick", "pyonmttok>=1.37,<2", "pyyaml", "rapidfuzz",
            "sacrebleu", "sentencepiece", "six", "spacy", "tensorboard", "waitress",
        ],
        ["--no-deps", "OpenNMT-py==3.5.1"],
    ],
    "ctranslate2": [["ctranslate2==4.8.5"]],
    "marian": [["pymarian==1.12.42"]],
}  # fmt: skip
SYSTEMS = {
    "seqkd-bf16": "",
    "seqkd-fp32": "",
    "seqkd-int8": "",
    "eole": "eole",
    "eole-medium": "eole",
    "opennmt-py": "opennmt-py",
    "opennmt-py-medium": "opennmt-py",
    "ctranslate2-int8": "ctranslate2",
    "ctranslate2-bfloat16": "ctranslate2",
    "ctranslate2-float32": "ctranslate2",
}
"""Every system and its environment; `-medium` is a peer with float32_matmul_precision medium,
which its own releases do not set and which multiplies in bf16 where the CPU can."""

OPENNMT_CONFIG = """
data:
  corpus: {{path_src: {data}/train.src, path_tgt: {data}/train.tgt, transforms: []}}
  valid: {{path_src: {data}/dev.src, path_tgt: {data}/dev.tgt, transforms: []}}
src_vocab: {vocab}
tgt_vocab: {vocab}
share_vocab: true
seed: 1
report_every: 10
"""
OPENNMT_TRAINING = """
world_size: 1
gpu_ranks: {gpus}
batch_type: sents
batch_size: {batch}
valid_batch_size: 32
num_workers: 0
bucket_size: 16384
normalization: tokens
train_steps: {updates}
valid_steps: 100000000
save_checkpoint_steps: {updates}
keep_checkpoint: 1
optim: adam
learning_rate: 0.001
dropout: [0.2]
"""
OPENNMT_MODEL = """
save_model: {model}
encoder_type: rnn
decoder_type: rnn
rnn_type: LSTM
enc_layers: {layers}
dec_layers: {layers}
hidden_size: {width}
enc_hid_size: {width}
dec_hid_size: {width}
word_vec_size: {width}
input_feed: 1
global_attention: general
"""
EOLE_MODEL = """
overwrite: true
training:
  model_path: {model}
  compute_dtype: {precision}
{training}
model:
  architecture: rnn
  hidden_size: {width}
  input_feed: 1
  embeddings: {{word_vec_size: {width}, position_encoding_type: null}}
  encoder: {{encoder_type: rnn, rnn_type: LSTM, layers: {layers}, hidden_size: {width}}}
  decoder:
    {{decoder_type: rnn, rnn_type: LSTM, layers: {layers}, hidden_size: {width},
      global_attention: general}}
"""


@dataclass(frozen=True)
class Workshop:
    """Where environments, models and logs lie; copies that run at once work in folders apart."""

    folder: Path
    copy: int = 0

    @property
    def work(self) -> Path:
        """Where models, logs and outputs lie."""
        return self.folder / (f"work-{self.copy}" if self.copy else "work")

    def python(self, environment: str) -> Path:
        """Return the interpreter of an environment, which is made first if need be."""
        if not environment:
            return Path(sys.executable)
        place = self.folder / "environments" / environment
        ready = place / "ready"
        if not ready.exists():
            print(f"installing {environment} in {place}", file=sys.stderr, flush=True)
            venv.create(place, with_pip=True, clear=True)
            for packages in PACKAGES[environment]:
                command = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", *packages]
                subprocess.run(command, check=True)
            ready.touch()
        return place / "bin/python"

    def command(self, system: str, job: Job) -> list[str]:
        """Return the command line that does the job; writes the configuration it needs."""
        work = self.work
        work.mkdir(parents=True, exist_ok=True)
        job_file = work / "job.json"
        job.save(job_file)
        environment = SYSTEMS[system]
        python = str(self.python(environment))
        if environment in ("", "ctranslate2"):
            program = HERE / f"in_{environment or 'seqkd'}.py"
            return [python, str(program), str(job_file), system.rsplit("-", 1)[1]]
        arguments = self._train(environment, job, work)
        if job.action == "decode":
            arguments = self._decode(environment, job, work)
        return [python, str(HERE / "in_peer.py"), str(job_file), system, *arguments]

    def _train(self, peer: str, job: Job, work: Path) -> list[str]:
        """Return a peer's arguments for training; the work folder keeps its model."""
        vocab, config = work / f"{peer}.vocab", work / f"{peer}.yaml"
        words = job.lines("vocab", "txt")
        if peer == "opennmt-py":
            words = [f"{w}\t1" for w in ("<unk>", "<blank>", "<s>", "</s>", *words)]
        vocab.write_text("".join(word + "\n" for word in words), encoding="utf-8")
        values = {
            "data": job.data, "vocab": vocab, "model": work / f"{peer}-{job.layers}x{job.width}",
            "batch": job.batch, "updates": job.updates, "layers": job.layers, "width": job.width,
            "gpus": [0] if job.device == "cuda" else [],
            "precision": "bf16" if job.device == "cuda" else "fp32",
        }  # fmt: skip
        training = OPENNMT_TRAINING.format(**values)
        text = OPENNMT_CONFIG.format(**values)
        if peer == "eole":
            text += EOLE_MODEL.format(**values, training=training.replace("\n", "\n  "))
        else:
            text += OPENNMT_MODEL.format(**values) + training
        config.write_text(text, encoding="utf-8")
        return ["train", "-config", str(config)] if peer == "eole" else ["-config", str(config)]

    def _decode(self, peer: str, job: Job, work: Path) -> list[str]:
        """Return a peer's arguments for decoding; a model of the right shape is made first."""
        model = work / f"{peer}-{job.layers}x{job.width}"
        if peer == "opennmt-py":
            model = model.with_name(model.name + "_step_1.pt")
        if not model.exists():
            made = Job(action="train", data=job.data, layers=job.layers, width=job.width,
                       batch=8, updates=1, warm_up=0, device=job.device)  # fmt: skip
            execute(self.command(peer, made), 1, work / f"{peer}.log")
            job.save(work / "job.json")
        source = work / "source.txt"
        lines = job.lines("test", "src")[: job.sentences]
        source.write_text("".join(f"{line} </s>\n" for line in lines), encoding="utf-8")
        common = [
            "-src", source, "-output", job.output, "-beam_size", job.beam,
            "-batch_size", job.batch, "-max_length", job.length or 60, "-min_length", job.length,
        ]  # fmt: skip
        if peer == "eole":
            arguments = ["predict", "-model_path", model, *common, "-batch_type", "sents"]
            if job.device == "cuda":
                arguments += ["-world_size", 1, "-gpu_ranks", 0, "-compute_dtype", "bf16"]
        else:
            arguments = ["-model", model, *common, "-gpu", 0 if job.device == "cuda" else -1]
        return [str(argument) for argument in arguments]


def execute(command: Sequence[str], threads: int, log: Path) -> tuple[list[str], float]:
    """Run a command; return the lines that it printed and the most memory it held, MiB.

    Several may run at once, each in a thread of its own.

    Raises:
        SeqkdError: if it fails; the end of its log is in the message.
    """
    count = str(threads)
    variables = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "PYTHONWARNINGS": "ignore"}
    with log.open("w+", encoding="utf-8", errors="replace") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | variables
        )
        _, status, usage = os.wait4(process.pid, 0)  # the only call that tells a child's memory
        process.returncode = os.waitstatus_to_exitcode(status)
        file.seek(0)
        lines = file.read().splitlines()
    if status:
        raise SeqkdError("\n".join([f"{command[1]} failed; the end of {log}:", *lines[-15:]]))
    return lines, peak_memory_mb(usage)


def run(system: str, workshops: Sequence[Workshop], job: Job, round_number: int) -> Measurement:
    """Run one system once, in as many copies at once as there are workshops.

    Returns:
        Tokens, CPU seconds and memory of all copies together, and the time of the slowest.
    """
    logs = [workshop.work / f"{system}.log" for workshop in workshops]
    jobs = [dataclasses.replace(job, output=str(log.with_suffix(".out"))) for log in logs]
    commands = [w.command(system, each) for w, each in zip(workshops, jobs, strict=True)]
    with ThreadPoolExecutor(len(commands)) as pool:
        ended = list(pool.map(execute, commands, [job.threads] * len(commands), logs))
    tokens = cpu = wall = 0.0
    for (lines, _), each, log in zip(ended, jobs, logs, strict=True):
        found = [json.loads(x.removeprefix(RESULT)) for x in lines if x.startswith(RESULT)]
        if not found:
            raise SeqkdError(f"{system} reported no figures; see {log}")
        written = found[0]["tokens"] or len(Path(each.output).read_text(encoding="utf-8").split())
        tokens, cpu, wall = tokens + written, cpu + found[0]["cpu"], max(wall, found[0]["wall"])
    return Measurement(
        system=system, round=round_number, tokens=tokens, cpu=cpu, wall=wall,
        peak_mb=sum(peak_mb for _, peak_mb in ended),
    )  # fmt: skip
