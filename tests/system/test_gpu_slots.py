"""GPU slots on a fake box of two GPUs, with real processes and real locks."""

import os
import signal
import subprocess
import sys

import pytest

from seqkd.errors import SeqkdError
from seqkd.machine.gpu_slots import claim_gpu, visible_gpus

pytestmark = pytest.mark.xdist_group("timed")  # one after the other

# Says which GPU it got, then holds it until its standard input ends.
JOB = """
import os, sys
from seqkd.machine.gpu_slots import claim_gpu
gpu = claim_gpu(sys.argv[1])
print(gpu, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""
WAIT_SECONDS = 30


@pytest.fixture
def start(tmp_path):
    jobs = []

    def start(device="auto", script=JOB, **variables):
        kept = ("PATH", "PYTHONPATH", "HOME")
        environment = {key: os.environ[key] for key in kept if key in os.environ}
        environment |= {"TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0,1"} | variables
        job = subprocess.Popen(
            [sys.executable, "-c", script, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        jobs.append(job)
        return job

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def answer(job):
    return job.stdout.readline().split()


def test_two_jobs_take_two_gpus_and_each_sees_only_its_own(start):
    answers = [answer(start()), answer(start())]
    assert answers == [["0", "0"], ["1", "1"]]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_third_job_waits_until_one_dies_however_it_dies(start, number):
    first, second = start(), start()
    gpus = {answer(first)[0]: first, answer(second)[0]: second}
    third = start()
    assert third.stderr.readline() == "waiting for a free slot on GPUs 0, 1\n"
    gpus["1"].send_signal(number)
    assert answer(third) == ["1", "1"]


def test_many_jobs_at_once_never_share_a_gpu(start, tmp_path):
    work = f"""
import os, time
from seqkd.machine.gpu_slots import claim_gpu
busy = os.path.join({str(tmp_path)!r}, "busy-" + claim_gpu("auto"))
os.close(os.open(busy, os.O_CREAT | os.O_EXCL))  # fails if another job has this GPU
time.sleep(0.2)
os.unlink(busy)
"""
    jobs = [start(script=work) for _ in range(6)]
    assert [job.wait(WAIT_SECONDS) for job in jobs] == [0] * 6


def test_small_students_share_a_gpu_on_request_after_all_have_one(start):
    gpus = [answer(start(SEQKD_JOBS_PER_GPU="2"))[0] for _ in range(4)]
    assert gpus == ["0", "1", "0", "1"]


def test_the_users_list_of_ids_is_honoured(start):
    assert answer(start(CUDA_VISIBLE_DEVICES="3")) == ["3", "3"]
    uuid = "GPU-8f2c3a1e-1111"
    assert answer(start(CUDA_VISIBLE_DEVICES=uuid)) == [uuid, uuid]


@pytest.mark.parametrize(
    "variables",
    [
        {"WORLD_SIZE": "2"},
        {"SEQKD_JOBS_PER_GPU": "0"},
        {"CUDA_VISIBLE_DEVICES": ""},
        {"CUDA_VISIBLE_DEVICES": "-1"},
    ],
)
def test_no_effect_under_torchrun_or_switched_off_or_without_gpu(start, variables):
    first, second = start(**variables), start(**variables)
    assert answer(first)[0] == answer(second)[0] == "None"


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_no_effect_on_the_cpu_or_with_a_gpu_chosen_by_number(start, device):
    assert answer(start(device)) == ["None", "0,1"]


def test_without_a_list_all_gpus_of_the_machine_count(tmp_path):
    for name in ("nvidia10", "nvidia0", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "1", "2"]  # as CUDA numbers them


ALLOCATIONS = ({"SLURM_JOB_ID": "7"}, {"LSB_JOBID": "7"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize("variables", ALLOCATIONS)
def test_jobs_inside_an_allocation_or_a_pod_take_a_gpu_each(start, variables):
    assert [answer(start(**variables))[0] for _ in range(2)] == ["0", "1"]


def test_allocations_have_slots_of_their_own(start):
    arrays = [{"JOB_ID": "7", "SGE_TASK_ID": n} for n in "12"]
    steps = [{"SLURM_JOB_ID": "7", "SLURM_STEP_ID": n} for n in "12"]
    for variables in ({"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "8"}, *arrays, *steps):
        assert answer(start(CUDA_VISIBLE_DEVICES="0", **variables)) == ["0", "0"]


def test_a_list_ends_where_cuda_ends_it():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "1, 0,-1,2"}) == ["1", "0"]


def test_a_wrong_number_of_jobs_is_refused():
    with pytest.raises(SeqkdError, match="SEQKD_JOBS_PER_GPU=many"):
        claim_gpu("auto", {"SEQKD_JOBS_PER_GPU": "many", "CUDA_VISIBLE_DEVICES": "0"})
