"""Text from outside: its content says what it is, and what is no text is named in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from seqkd.errors import SeqkdError
from seqkd.files import check_text, read_given_lines, read_lines, read_parallel, read_sentences
from seqkd.translation.lines import read_chunks

TEXT = "".join(f"Das Licht {n} ist an.\n" for n in range(3000)).encode()
LINES = TEXT.decode().splitlines()
Pack = Callable[[bytes], bytes]


def lzma_alone(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


def long_window(data: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(data) + stream.flush()


PACKS: dict[str, Pack] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lzma_alone,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def lines_of(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return list(read_given_lines(path))


@pytest.mark.parametrize("name", ["x", "x.gz", "x.GZ", "x.bz2", "x.xz", "x.zst", "x.de", "x.txt.Z"])
@pytest.mark.parametrize("pack", [bytes, *PACKS.values()])
def test_content_and_not_the_name_tells_the_compression(tmp_path: Path, name: str, pack: Pack):
    assert lines_of(tmp_path / name, pack(TEXT)) == LINES


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_members_padding_and_double_compression(tmp_path: Path, pack: Pack):
    half = len(TEXT) // 2
    for content in (
        pack(TEXT[:half]) + pack(TEXT[half:]),
        pack(TEXT) + bytes(2048),
        pack(TEXT[:half]) + bytes(8) + pack(TEXT[half:]) + bytes(3),
        pack(b"") + pack(TEXT),
        pack(pack(TEXT)),
    ):
        assert lines_of(tmp_path / "x", content) == LINES
    assert lines_of(tmp_path / "x", pack(b"")) == []


def test_long_windows_and_skippable_frames_of_zstd(tmp_path: Path):
    assert lines_of(tmp_path / "x", long_window(TEXT)) == LINES
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0size"  # as pzstd writes
    assert lines_of(tmp_path / "x", skipped + zstandard.compress(TEXT) + skipped) == LINES


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_damage_and_truncation_say_how_far(tmp_path: Path, pack: Pack):
    whole = pack(TEXT)
    places = {len(whole) // 3, len(whole) - 2, len(whole) - 5, 14}
    damaged = bytearray(whole)
    for place in range(len(whole) // 2, len(whole) // 2 + 9):
        damaged[place] ^= 0x55
    contents = [whole[:place] for place in places] + [bytes(damaged), whole + b"rest of a file"]
    for content in contents:
        with pytest.raises(SeqkdError, match=r"x: damaged or truncated after line \d+ \(\w+: .+"):
            lines_of(tmp_path / "x", content)


def test_damage_is_reported_near_where_it_is(tmp_path: Path):
    lines = [f"{n * 7919 % 10007} {n * 104729 % 99991}" for n in range(20000)]
    damaged = bytearray(gzip.compress("\n".join(lines).encode()))
    damaged[9000:9040] = bytes(40)
    with pytest.raises(SeqkdError) as caught:
        lines_of(tmp_path / "x", bytes(damaged))
    assert 500 < int(str(caught.value).split("after line ")[1].split()[0]) < 9000


def zip_of(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", data)
    return file.getvalue()


def tar_of(data: bytes, form: int = tarfile.PAX_FORMAT) -> bytes:
    file, member = io.BytesIO(), tarfile.TarInfo("x")
    member.size = len(data)
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zip_of(TEXT), "a zip archive; unpack it"),
        (tar_of(TEXT), "a tar archive"),
        (tar_of(TEXT, tarfile.GNU_FORMAT), "a tar archive"),
        (gzip.compress(tar_of(TEXT)), "a tar archive"),
        (b"LZIP\x01\x0c", "lzip data"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
        ("a\nb\n".encode("utf-16"), "UTF-16, not UTF-8; convert it: iconv -f UTF-16"),
        ("rot\r\nblau\r\n".encode("utf-16-le"), "UTF-16LE"),
        ("rot\r\nblau\r\n".encode("utf-16-be"), "UTF-16BE"),
        ("今天\n天气\n".encode("utf-16-le"), "UTF-16LE"),
        ("rot".encode("utf-16-le"), "UTF-16LE"),
        (gzip.compress(TEXT.decode().encode("utf-16-le")), "UTF-16LE"),
        ("rot\nblau\n".encode("utf-32-le"), "UTF-32LE"),
        ("rot\nblau\n".encode("utf-32"), "UTF-32,"),
        (b"one\ntwo\n" + bytes(4096), "line 3: a NUL"),
        (b"one\ntw\0o\nthree\n", r"line 2: a NUL \(byte 2\)"),
        (TEXT * 20 + "rot\n".encode("utf-16-le"), "line 60001: a NUL"),
        ("Öl\n".encode("latin-1"), "line 1: not valid UTF-8"),
        (b"one\rtwo\rthree\r", "lines end in CR alone"),
        ("今日は\nいい天気\n".encode("iso-2022-jp"), "ISO-2022, not UTF-8; convert it"),
        ("für\nTür\nÖl\nGröße\n".encode().decode("cp1252").encode(), "in UTF-8 twice, as in"),
        ("für\nTür\nÖl\nGröße\n".encode().decode("latin-1").encode(), "-f UTF-8 -t LATIN1"),
        ("今天\n天气\n很好\n".encode().decode("latin-1").encode(), "-f UTF-8 -t LATIN1"),
        (b"\xef\xbb\xbf<!DOCTYPE html>\n<html>\n", "a page or document in HTML or XML"),
        (b'<?xml version="1.0"?>\n<tmx version="1.4">\n', "a page or document in HTML or XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n", "Git LFS"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # archives hold the time
)
def test_what_is_no_text_gets_its_name(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(SeqkdError, match=message) as caught:
        lines_of(tmp_path / "x", content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["<?xml is how a page begins", "für Tür Öl Größe"])
def test_what_is_made_of_a_text_may_look_odd(tmp_path: Path, line: str):
    path = tmp_path / "train.de"
    lines = [line.encode().decode("cp1252") if "ü" in line else line] * 5
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert list(read_lines(path)) == lines
    assert [*read_parallel(path, path)] == [(line, line) for line in lines]
    assert sum(len(chunk.lines) for chunk in read_chunks([path])) == 5
    with pytest.raises(SeqkdError):
        list(read_parallel(path, path, read_sentences))


def test_the_mark_of_utf_8_is_no_text(tmp_path: Path):
    assert lines_of(tmp_path / "x", "\ufeffeins\n\ufeffzwei\n".encode()) == ["eins", "\ufeffzwei"]


def test_a_folder_is_no_file_and_a_pipe_is_one(tmp_path: Path):
    with pytest.raises(SeqkdError, match="is a folder; expected a file"):
        list(read_lines(tmp_path))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(TEXT),))
    writer.start()
    assert list(read_lines(pipe)) == LINES
    writer.join()


def test_translate_reads_what_corpus_reads(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(bz2.compress(TEXT))
    assert b"\n".join(line for chunk in read_chunks([path]) for line in chunk.lines) == TEXT[:-1]
    path.write_bytes("rot\n".encode("utf-16-le"))
    with pytest.raises(SeqkdError, match="UTF-16LE"):
        list(read_chunks([path]))


def test_accents_and_marks_of_markup_are_text(tmp_path: Path):
    text = "Ã¼ is how ü looks\nin the wrong encoding\nÄpfel\nÂ© is no word\n<b>fett</b>\n"
    assert lines_of(tmp_path / "x", text.encode()) == text.splitlines()


@pytest.mark.parametrize("text", ["LZIP files\nend in .lz\n", f"{'a' * 257}ustar is\nof tar\n"])
def test_words_that_archives_begin_with_are_text(tmp_path: Path, text: str):
    assert lines_of(tmp_path / "x", text.encode()) == text.splitlines()


def test_carriage_returns_in_one_long_line_of_many_are_text(tmp_path: Path):
    path = tmp_path / "x"
    line = "a\rb\r" + "c" * 3_000_000
    assert lines_of(path, f"{line}\nrot\n".encode()) == [line, "rot"]
    (chunk, _) = read_chunks([path])
    assert chunk.lines[0].startswith(b"a\rb\rc")
    path.write_bytes(line.encode())  # longer than what is read of one line
    for read in (read_lines, lambda path: list(read_chunks([path]))):
        with pytest.raises(SeqkdError, match="x: lines end in CR alone; convert it"):
            list(read(path))


def test_a_stray_nul_does_not_make_a_text_utf_16():
    check_text(b"one\ntw\0o\n" * 2 + b"\n" * 100, "x")
    check_text(b"a\0\n", "x")


words = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=8)
encodings = st.sampled_from(
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "latin-1", "cp1252", "shift-jis"]
)
packs = st.lists(st.sampled_from([bytes, *PACKS.values()]), max_size=2)


@st.composite
def hostile_files(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(words, min_size=1, max_size=6))
    ending = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    content = ending.join(lines).encode(draw(encodings), errors="replace")
    for pack in draw(packs):
        content = pack(content)
    cut = draw(st.integers(0, len(content)))
    match draw(st.sampled_from(["whole", "cut", "flipped", "padded", "followed"])):
        case "cut":
            return content[:cut]
        case "flipped" if cut < len(content):
            return content[:cut] + bytes([content[cut] ^ 0xFF]) + content[cut + 1 :]
        case "padded":
            return content + bytes(cut)
        case "followed":
            return content + draw(st.binary(max_size=20))
    return content


@seed(18)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(content=hostile_files())
def test_a_hundred_hostile_files_are_text_or_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "x"
    lines, message = [], ""
    try:
        lines = lines_of(path, content)
    except SeqkdError as error:
        message = str(error)
    assert message.startswith(str(path)) or not message
    assert not any("\0" in line or "\n" in line for line in (message, *lines))
    "".join(lines).encode()
