"""`seqkd translate`: every line in has its line out, whatever it holds."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from threading import Timer

import pytest

import seqkd
from processes import run
from seqkd.steps.translate import _output
from seqkd.translation import lines
from seqkd.translation.api import load
from seqkd.translation.lines import byte_lines, prompt_chunks
from tiny_model import sentences, write_model

EMOJI = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600 Licht"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


def translate(model: Path, *options: object, data: bytes = b"") -> CompletedProcess[bytes]:
    return run("seqkd", "translate", model, "--device", "cpu", *options, folder=Path(), data=data)


def report(stderr: bytes) -> list[str]:
    """Return its lines but for long translations, which a random model always makes."""
    return [line for line in stderr.decode().splitlines() if ": perhaps cut: " not in line]


def test_ten_thousand_lines_with_bad_ones_among_them(model, tmp_path):
    lines = [line.encode() for line in sentences(10_000)]
    bad = {
        17: b"",
        18: b"   \t ",
        1234: b"die Lampe " * 500,  # 5,000 characters
        2500: EMOJI.encode(),
        3999: b"das \x00 Licht\x00",
        4000: b"das \xff\xfe Licht \xc3",
        5000: b"die Lampe\r",
        6000: "Licht\u2028Flur\u0085an\x0b\x0c".encode(),  # other programs end a line at these
        7000: b"\xed\xa0\x80 Licht",  # half of a surrogate pair
        9999: b"x" * 300_000,
    }
    for place, line in bad.items():
        lines[place] = line
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(b"".join(line + b"\n" for line in lines))
    done = translate(model, source, "--beam", 1, "--output", output)
    assert done.returncode == 0, done.stderr.decode()
    found = output.read_text(encoding="utf-8").split("\n")
    assert found.pop() == ""
    assert len(found) == 10_000
    assert found[17] == found[18] == ""
    # In order: each good line is translated as it is without the bad ones.
    good = [i for i in range(0, 10_000, 97) if i not in bad]
    alone = load(model, device="cpu").translate([lines[i] for i in good], beam=1)
    assert [found[i] for i in good] == alone
    assert len(set(found)) > 500  # the model does tell lines apart
    notes = report(done.stderr)
    printed = [note.split(", line ")[1] for note in notes]
    assert [int(note.split(":")[0]) - 1 for note in printed] == [1234, 3999, 4000, 7000, 9999]
    assert "cut: 2500 tokens, of which the first 250 are translated" in printed[0]
    assert "control or invisible" in printed[1]
    assert "not UTF-8 (byte 0xff at place 5)" in printed[2]
    assert "not UTF-8" in printed[3]
    assert "cut: 300000 bytes" in printed[4]


def test_standard_input_gives_the_same_as_a_file(model, tmp_path):
    text = "".join(f"{line}\n" for line in sentences(50)).encode()
    source = tmp_path / "in.txt"
    source.write_bytes(text)
    from_file = translate(model, source).stdout
    assert from_file.count(b"\n") == 50
    assert translate(model, data=text).stdout == from_file
    assert translate(model, "-", data=text.removesuffix(b"\n")).stdout == from_file


def test_a_typed_line_is_answered_before_the_next(model):
    words = [sys.executable, "-m", "seqkd", "translate", str(model), "--device", "cpu"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in sentences(3):
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline().endswith(b"\n")
    process.stdin.close()
    assert process.wait(10) == 0


def test_a_reader_that_goes_away_is_no_error(model):
    command = f"{sys.executable} -m seqkd translate {model} --device cpu --beam 1 | head -n 1"
    text = "".join(f"{line}\n" for line in sentences(9000)).encode()
    done = subprocess.run(command, shell=True, input=text, capture_output=True, check=False)
    assert done.stdout.count(b"\n") == 1
    assert report(done.stderr) == []


def test_n_best_and_scores_are_written_as_help_says(model):
    data = b"die Lampe\n\ndas Licht\n"
    rows = translate(model, "--n-best", 3, "--beam", 4, data=data).stdout.decode().splitlines()
    cells = [row.split(" ||| ") for row in rows]
    assert [cell[0] for cell in cells] == ["0"] * 3 + ["1"] + ["2"] * 3
    assert all(cell[2] == f"LogProb= {cell[3]}" for cell in cells)
    scores = [float(cell[3]) for cell in cells[:3]]
    assert scores == sorted(scores, reverse=True)
    assert cells[3][1:] == ["", "LogProb= 0.000000", "0.000000"]
    penalised = translate(model, "--n-best", 4, "--length-penalty", 5, "--beam", 4, data=data)
    rows = [row.split(" ||| ") for row in penalised.stdout.decode().splitlines()]
    ranks, log_probs = ([float(row[place].split()[-1]) for row in rows[:4]] for place in (3, 2))
    assert ranks == sorted(ranks, reverse=True)
    assert min(ranks) > max(log_probs)
    scored = translate(model, "--scores", "--beam", 4, data=data).stdout.decode().splitlines()
    assert [line.split("\t") for line in scored] == [
        [cells[0][3], cells[0][1]], ["0.000000", ""], [cells[4][3], cells[4][1]],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["/nowhere.txt"], "file not found: /nowhere.txt"),
        (["--beam", "0"], "must be at least 1"),
        (["--n-best", "0"], "must be at least 1"),
        (["--length-penalty", "nan"], "must be from 0 to 10"),
        (["--beam", "2", "--n-best", "3"], "needs a beam of at least 3, got 2"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--n-best", "2", "--scores"], "--scores is for one translation a line"),
    ],
)
def test_bad_options_are_one_line(model, options, message):
    done = translate(model, *options)
    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", ["<&-", "- <&-", ">&-", "<&- >&-"])
def test_closed_streams_are_one_line(model, closed):
    command = f"{sys.executable} -m seqkd translate {model} --device cpu {closed}"
    done = subprocess.run(command, shell=True, input=b"an\n", capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"standard input or output is closed" in done.stderr


def test_notes_never_get_into_the_translations(model):
    command = f"{sys.executable} -m seqkd translate {model} --device cpu 2>&-"
    done = subprocess.run(command, shell=True, input=b"an \xff\n", capture_output=True, check=True)
    assert done.stdout.count(b"\n") == 1
    assert b"not UTF-8" not in done.stdout


def test_a_full_disk_is_an_error_without_buffers_too(model, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    program = (
        "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (9, 9)); "
        "from seqkd.cli import main; main()"
    )
    words = [sys.executable, "-c", program, "translate", str(model), "--device", "cpu"]
    with (tmp_path / "out.txt").open("wb") as output:
        done = subprocess.run(
            words, input=b"die Lampe\n" * 9, stdout=output, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert report(done.stderr) == ["seqkd translate: [Errno 27] File too large"]


def test_standard_files_that_do_not_block_lose_nothing(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading) as source, open(writing, "wb", buffering=0) as sender:
        monkeypatch.setattr(sys, "stdin", source)
        Timer(0.1, lambda: (sender.write(b"an\n"), sender.close())).start()
        assert [chunk.lines for chunk in lines.read_chunks([Path("-")])] == [[b"an"]]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb") as receiver, open(writing, "w") as target:
        monkeypatch.setattr(sys, "stdout", target)
        Timer(0.1, receiver.read, [500_000]).start()
        with _output(None) as write:
            write("x" * 500_000)


def test_a_part_of_a_line_that_a_pipe_has_so_far_proves_nothing(monkeypatch):
    """Neither that lines end in CR alone, nor that the text is in UTF-16."""
    for start in (b"das\r Licht\r", b"\0", b"a\0"):
        reading, writing = os.pipe()
        with open(reading) as source, open(writing, "wb", buffering=0) as sender:
            monkeypatch.setattr(sys, "stdin", source)
            sender.write(start)
            Timer(0.2, lambda to=sender: (to.write(b" ist an\n"), to.close())).start()
            (chunk,) = lines.read_chunks([Path("-")])
            assert chunk.lines == [start + b" ist an"]


def test_no_model_is_one_line(tmp_path):
    for path, missing in ((tmp_path, tmp_path / "model.safetensors"), (tmp_path / "x",) * 2):
        done = translate(path)
        assert done.returncode == 1
        assert done.stderr.decode() == f"seqkd translate: file not found: {missing}\n"
        assert done.stderr.count(b"\n") == 1
    (tmp_path / "numbers").write_text("1\n2\n3\n4\n5\n", encoding="utf-8")
    done = translate(tmp_path / "numbers")
    assert done.returncode == 1
    assert b"not a safetensors file" in done.stderr
    assert done.stderr.count(b"\n") == 1


# ---------------------------------------------------------------------------- lines


def test_only_a_line_feed_ends_a_line():
    data = "a\u2028b\n\n\x0cc\r\nd".encode()
    assert list(byte_lines(io.BytesIO(data), "x")) == ["a\u2028b".encode(), b"", b"\x0cc", b"d"]


def test_a_line_without_end_is_bounded(monkeypatch):
    monkeypatch.setattr(lines, "MAX_BYTES", 10)
    data = b"0123456789\n" + b"0123456789ab" * 100 + b"\nnext\n"
    assert list(byte_lines(io.BytesIO(data), "x")) == [b"0123456789", b"0123456789a", b"next"]


def test_lines_that_wait_are_taken_together():
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb") as sender:
        sender.write(b"1\n2\n3\n")
        sender.flush()
        groups = prompt_chunks(byte_lines(file, "x"), 100)
        assert next(groups) == [b"1", b"2", b"3"]
        sender.write(b"4\n")
        sender.close()
        assert list(groups) == [[b"4"]]
    assert list(prompt_chunks(iter([b"1", b"2", b"3"]), 2)) == [[b"1", b"2"], [b"3"]]


def test_an_error_while_reading_is_not_lost():
    class Broken(io.BytesIO):
        def readline(self, size=-1):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(prompt_chunks(byte_lines(Broken(), "x"), 5))


def test_translating_imports_neither_the_workflow_nor_training(model):
    # What makes the start slow; PyTorch itself cannot be avoided.
    heavy = (
        "snakemake",
        "pandas",
        "sacrebleu",
        "matplotlib",
        "seqkd.training.trainer",
        "seqkd.config.experiment",
    )
    program = (
        f"import sys, seqkd; seqkd.load({str(model)!r}, device='cpu').translate(['das Licht']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_loads_a_model(model):
    translator = seqkd.load(str(model), device="cpu")
    assert len(translator.translate(["das Licht", "", b"\xff"], beam=2)) == 3
