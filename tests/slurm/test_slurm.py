"""The smoke experiment on real Slurm daemons, with everything that goes wrong on a cluster.

A job is cancelled, one outlives its time limit, some their memory, a node crashes with its jobs,
and the controller is killed. The run must end with the numbers of a run on this machine alone, and
no training may start over that had saved its state. `make test-slurm` runs it (a quarter of an hour
on two busy cores; needs root, and Debian or Ubuntu).
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slurm

REPOSITORY = Path(__file__).resolve().parents[2]
CLUSTER = Path(__file__).with_name("cluster.sh")
PATIENCE_SECONDS = 300
RUN_SECONDS = 1800

# Stands before the real command: keeps a diary of all calls, and hangs once where asked to.
WRAPPER = """#!/bin/sh
echo "$1 ${{SLURM_JOB_ID:-local}} $*" >>{folder}/calls.txt
if [ "$1" = test-set ] && [ ! -e {folder}/hung ]; then
    touch {folder}/hung
    sleep 900
fi
exec {real} "$@"
"""


@dataclass
class Run:
    """A working directory with the experiment, and a diary of what happened to it."""

    folder: Path
    diary: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def make(cls, folder: Path) -> Run:
        """Lay out sources of text, the experiment file and the command that jobs call."""
        shutil.copytree(REPOSITORY / "tests" / "data", folder / "tests" / "data")
        config = REPOSITORY / "config" / "experiments" / "smoke.yaml"
        experiment = yaml.safe_load(config.read_text(encoding="utf-8"))
        experiment["save_minutes"] = 0  # after each update
        (folder / "smoke.yaml").write_text(yaml.safe_dump(experiment), encoding="utf-8")
        (folder / "bin").mkdir()
        wrapper = folder / "bin" / "seqkd"
        real = Path(sys.executable).with_name("seqkd")
        wrapper.write_text(WRAPPER.format(folder=folder, real=real), encoding="utf-8")
        wrapper.chmod(0o755)
        return cls(folder)

    def tell(self, what: str) -> None:
        """Note an event."""
        self.diary.append(f"{time.monotonic() - self.started:4.0f} s  {what}")
        print(self.diary[-1], flush=True)

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the workflow as a user would."""
        path = os.pathsep.join(
            [str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        command = [
            *(sys.executable, "-m", "snakemake"),
            *("--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", "smoke.yaml"),
            *arguments,
        ]
        log = (self.folder / "controller.txt").open("ab")
        return subprocess.Popen(
            command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def submit(self) -> subprocess.Popen[bytes]:
        """Start the workflow on the cluster, with limits that some jobs will hit."""
        return self.launch(
            *("--workflow-profile", str(REPOSITORY / "profiles" / "slurm")),
            *("--jobs", "8", "--set-scatter", "decode=2", "--latency-wait", "20"),
            *("--slurm-init-seconds-before-status-checks", "5"),
            *("--set-resources", "train:gpu=1", "test_set:runtime=attempt"),
            "soft_targets:mem_mb=300 if attempt == 1 else 3000",
        )

    def printed(self) -> str:
        """Return all that the controllers said."""
        return (self.folder / "controller.txt").read_text(encoding="utf-8")

    def calls(self) -> list[list[str]]:
        """Return the words of each call of a step: its verb, its Slurm job, and its arguments."""
        text = (self.folder / "calls.txt").read_text(encoding="utf-8")
        return [line.split() for line in text.splitlines()]

    @property
    def results(self) -> Path:
        """The experiment's folder."""
        return self.folder / "results" / "smoke"


@dataclass(frozen=True)
class SlurmJob:
    """One line of the queue."""

    number: str
    state: str
    node: str
    comment: str


def queue() -> list[SlurmJob]:
    """Return the jobs that wait or run."""
    lines = subprocess.run(
        ["squeue", "--noheader", "--format=%i|%T|%N|%k"], capture_output=True, text=True, check=True
    )
    return [SlurmJob(*line.split("|", 3)) for line in lines.stdout.splitlines()]


def cluster(*words: str) -> None:
    """Call the script of the cluster."""
    subprocess.run([str(CLUSTER), *words], check=True, timeout=PATIENCE_SECONDS)


def wait_for(what: str, ready: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Slurm of three nodes on this machine."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("starting Slurm daemons needs root, and Debian or Ubuntu")
    folder = tmp_path_factory.mktemp("slurm")
    cluster("start", str(folder))
    yield folder
    cluster("stop", str(folder))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The experiment, run on this machine without a scheduler and without trouble."""
    run = Run.make(tmp_path_factory.mktemp("local"))
    (run.folder / "hung").touch()
    process = run.launch("--cores", "2")
    assert process.wait(RUN_SECONDS) == 0, run.printed()
    return run


def training_with_state(run: Run, *, but: str = "") -> tuple[SlurmJob, Path]:
    """Wait for a running job that trains and has saved its state; return it and its folder."""
    found: list[tuple[SlurmJob, Path]] = []

    def ready() -> bool:
        running = [job for job in queue() if job.state == "RUNNING" and "train" in job.comment]
        numbers = {job.number: job for job in running}
        for verb, number, *words in run.calls():
            if verb == "train" and number in numbers:
                folder = run.folder / Path(words[words.index("--model") + 1]).parent
                if folder.name != but and (folder / "state" / "checkpoint.pt").exists():
                    found.append((numbers[number], folder))
        return bool(found)

    wait_for("a training that has saved its state", ready)
    return found[0]


def name_of(folder: Path) -> str:
    """Return the name of the model in a folder."""
    return folder.parent.name


@pytest.fixture(scope="module")
def survived(slurm: Path, local: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The experiment on the cluster, through all the trouble."""
    run = Run.make(tmp_path_factory.mktemp("run"))
    (run.folder / "calls.txt").touch()
    controller = run.submit()

    job, cancelled = training_with_state(run)
    run.tell(f"scancel {job.number} on {job.node}: training {name_of(cancelled)}")
    subprocess.run(["scancel", job.number], check=True)
    wait_for("the cancelled job to end", lambda: job.number not in [j.number for j in queue()])

    lists = run.results / "distilled"
    wait_for("the teacher's n-best list", lambda: any(lists.rglob("nbest.jsonl.zst")))
    job, crashed = training_with_state(run)
    run.tell(f"node {job.node} crashes: training {name_of(crashed)}")
    cluster("crash", str(slurm), job.node)
    wait_for("Slurm to take its jobs off the node", lambda: job not in queue())
    run.tell(f"node {job.node} is back")
    cluster("boot", str(slurm), job.node)

    job, _ = training_with_state(run)
    wait_for("some evaluations", lambda: len(list(run.results.rglob("test.json"))) > 2)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    orphans = [job.number for job in queue()]
    run.tell(f"kill -9 of the controller; jobs left behind: {' '.join(orphans)}")
    refused = run.submit()
    assert refused.wait(PATIENCE_SECONDS) == 1
    run.tell("a new controller refuses to start next to them")
    subprocess.run(["scancel", *orphans], check=True)
    wait_for("the jobs left behind to end", lambda: not queue())
    controller = run.submit()
    assert controller.wait(RUN_SECONDS) == 0, run.printed()[-5000:]
    run.tell("finished")
    return run


def rows(run: Run, table: str) -> list[list[str]]:
    """Return the cells of a table."""
    with (run.results / "tables" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("table", ["results", "pruning"])
def test_the_tables_are_those_of_a_local_run(local: Run, survived: Run, table: str):
    assert len(rows(local, table)) > 1
    assert rows(survived, table) == rows(local, table)


def test_every_model_has_the_bytes_of_a_local_run(local: Run, survived: Run):
    ours = {path.relative_to(local.results): path for path in local.results.rglob("*.safetensors")}
    assert len(ours) > 10
    for name, path in ours.items():
        assert (survived.results / name).read_bytes() == path.read_bytes(), name


def finished_jobs(slurm: Path) -> list[dict[str, str]]:
    """Return Slurm's own record of each job that ended."""
    text = (slurm / "log" / "jobcomp.txt").read_text(encoding="utf-8")
    return [dict(w.split("=", 1) for w in line.split() if "=" in w) for line in text.splitlines()]


def test_jobs_ran_on_all_nodes_and_trainings_where_the_gpus_are(slurm: Path, survived: Run):
    # A job has a record for each time that it ended; one that ended while it waited has no node.
    ran = [(job["JobId"], job["NodeList"]) for job in finished_jobs(slurm)]
    ran = [(number, node) for number, node in ran if node != "(null)"]
    assert {node for _, node in ran} >= {"c1", "c2", "g1"}
    trained = {number for verb, number, *_ in survived.calls() if verb == "train"}
    assert {node for number, node in ran if number in trained} == {"g1"}


def test_all_kinds_of_death_occurred(slurm: Path, survived: Run):
    states = Counter(job["JobState"] for job in finished_jobs(slurm))
    assert states["CANCELLED"] >= 1
    assert states["TIMEOUT"] == 1
    assert states["FAILED"] + states["OUT_OF_MEMORY"] >= 1  # FAILED where there are no cgroups
    assert "failed, SLURM status is: 'CANCELLED'" in survived.printed()
    assert "failed, SLURM status is: 'TIMEOUT'" in survived.printed()
    assert "Slurm jobs of a killed run are still queued or running" in survived.printed()


def product(words: list[str]) -> str:
    """Return the file or folder that a call of a step is about."""
    outputs = (w for start in ("--output", "--model") for w in words if w.startswith(start))
    return words[words.index(next(outputs)) + 1]


def test_only_what_was_killed_ran_again(slurm: Path, survived: Run):
    fates: dict[str, list[str]] = {}
    for job in finished_jobs(slurm):
        fates.setdefault(job["JobId"], []).append(job["JobState"])
    starts: dict[tuple[str, ...], list[str]] = {}
    for _, number, *words in survived.calls():
        starts.setdefault(tuple(words), []).append(number)
    for words, numbers in starts.items():
        for number in numbers[:-1]:
            ends = [state for state in fates[number] if state != "COMPLETED"]
            survived.tell(f"job {number} {', '.join(ends)}: again {words[0]} {product([*words])}")
            assert ends, words
    repeated = {words[0] for words, numbers in starts.items() if len(numbers) > 1}
    assert {"train", "test-set", "soft-targets"} <= repeated


def test_training_went_on_where_it_was_killed(survived: Run):
    killed = [line for line in survived.diary if "training" in line]
    assert len(killed) == 2
    for line in killed:
        name = line.rpartition(" ")[2]
        path = survived.results / "models" / name / "seed-1" / "manifest.json"
        update = json.loads(path.read_text(encoding="utf-8"))["resumed_from_update"]
        survived.tell(f"{name} went on after update {update}")
        assert update > 0, name


def test_nothing_is_left_to_do(survived: Run):
    before = len(survived.calls())
    again = survived.submit()
    assert again.wait(PATIENCE_SECONDS) == 0
    assert survived.printed().rstrip().rpartition("Nothing to be done")[1]
    assert len(survived.calls()) == before
