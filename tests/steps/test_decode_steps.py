"""decode, merge and select on a tiny model: shards, kills, empty lines, bad input."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import yaml

from decoding_folder import make_folder, make_vocabulary, write_model
from processes import Process, environment
from seqkd import cli
from seqkd.files import atomic_text, read_lines
from seqkd.steps import decode
from seqkd.translation import shards
from seqkd.translation.nbest import read_nbest, to_line
from seqkd.vocabulary.vocabulary import Vocabulary

BLOCK = 10


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return make_vocabulary()


@pytest.fixture
def work(tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(decode, "BLOCK", BLOCK)
    return make_folder(tmp_path, vocabulary)


def seqkd(*words: object) -> None:
    cli.main([str(word) for word in words])


def decode_shards(work: Path, shards: int, *options: object) -> list[Path]:
    paths = []
    for shard in range(1, shards + 1):
        paths.append(work / f"{shard}-of-{shards}.jsonl.zst")
        seqkd(
            "decode", "--model", work / "model.safetensors", "--src", work / "train.de",
            "--beam", 4, "--shard", shard, "--shards", shards, "--output", paths[-1],
            "--device", "cpu", *options,
        )  # fmt: skip
    return paths


def merged(work: Path, shards: int, *options: object) -> Path:
    output = work / f"nbest-{shards}.jsonl.zst"
    paths = decode_shards(work, shards, *options)
    seqkd("merge", "--shards", *paths, "--src", work / "train.de", "--output", output)
    return output


def test_standard_error_may_be_closed(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", None)
    (path,) = decode_shards(work, 1)
    assert path.exists()


@pytest.mark.parametrize("options", [(), ("--sample", "--n-best", 3)])
def test_merged_lists_are_the_same_bytes_for_any_number_of_shards(work, options):
    whole = merged(work, 1, *options).read_bytes()
    assert merged(work, 2, *options).read_bytes() == whole
    assert merged(work, 7, *options).read_bytes() == whole  # more shards than blocks


def test_lists_are_whole_sorted_and_empty_sources_have_the_empty_translation(work):
    path = merged(work, 1)
    records = [record for _, record in read_nbest(path, read_lines(work / "train.de"))]
    assert len(records) == 47
    for record in records:
        scores = [h.log_prob for h in record.hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert 1 <= len(scores) <= 4
    assert [(h.log_prob, h.text, h.tokens) for h in records[13].hypotheses] == [(0.0, "", ())]


def test_lists_with_length_normalisation_are_sorted_by_the_normalised_score(work):
    path = merged(work, 1, "--length-penalty", 1.0)
    records = [record for _, record in read_nbest(path, read_lines(work / "train.de"))]
    for record in records:
        scores = [h.log_prob / ((6 + len(h.tokens)) / 6) for h in record.hypotheses]
        assert scores == sorted(scores, reverse=True)


def test_no_block_files_remain(work):
    decode_shards(work, 2)
    assert not list(work.glob("*.blocks"))


def test_a_run_that_fails_goes_on_after_its_last_block(work, monkeypatch, capsys):
    whole = decode_shards(work, 1)[0]
    expected = whole.read_bytes()
    whole.unlink()
    write, translated = shards.write_shard, []

    def fail_in_the_third_block(path: Path, header, lines) -> None:
        if path.name.startswith("00000002"):
            raise RuntimeError("killed")
        write(path, header, lines)

    monkeypatch.setattr(shards, "write_shard", fail_in_the_third_block)
    with pytest.raises(RuntimeError):
        decode_shards(work, 1)
    assert not whole.exists()
    assert len(list((work / f"{whole.name}.blocks").glob("0*"))) == 2

    def count(path: Path, header, lines) -> None:
        translated.append(path.name)
        write(path, header, lines)

    monkeypatch.setattr(shards, "write_shard", count)
    decode_shards(work, 1)
    assert whole.read_bytes() == expected
    assert translated == [f"0000000{i}.jsonl.zst" for i in (2, 3, 4)] + [whole.name]
    assert "20 sentences were already decoded by an earlier run" in capsys.readouterr().err


def test_blocks_of_another_model_are_not_mixed_in(work, vocabulary, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shards.shutil, "rmtree", lambda *_, **__: None)
        (path,) = decode_shards(work, 1)
    of_first = path.read_bytes()
    assert len(list((work / f"{path.name}.blocks").glob("0*"))) == 5
    write_model(work / "model.safetensors", vocabulary, 2)
    decode_shards(work, 1)
    of_second = path.read_bytes()
    assert of_second != of_first
    decode_shards(work, 1)
    assert path.read_bytes() == of_second


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_a_killed_run_ends_in_the_same_bytes(work, signal_number):
    (path,) = decode_shards(work, 1)
    expected = path.read_bytes()
    path.unlink()
    words = [
        "decode", "--model", work / "model.safetensors", "--src", work / "train.de", "--beam", 4,
        "--output", path, "--device", "cpu",
    ]  # fmt: skip
    slow = environment(SECONDS_PER_BLOCK="0.5")
    process = Process("small_blocks", *words, folder=work, env=slow)
    folder = work / f"{path.name}.blocks"
    deadline = time.monotonic() + 60
    while len(list(folder.glob("0*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal_number)
    assert process.wait() == (-signal.SIGKILL if signal_number == signal.SIGKILL else 143)
    assert not path.exists()
    assert len(list(folder.glob("0*"))) >= 2
    decode_shards(work, 1)
    assert path.read_bytes() == expected


def test_an_ensemble_of_one_model_twice_is_that_model(work):
    (alone,) = decode_shards(work, 1)
    twice = work / "twice.jsonl.zst"
    model = work / "model.safetensors"
    seqkd(
        "decode", "--model", model, model, "--src", work / "train.de", "--beam", 4,
        "--output", twice, "--device", "cpu",
    )  # fmt: skip

    def lists(path: Path) -> list[list]:
        return [json.loads(line)["nbest"] for line in list(read_lines(path))[1:]]

    for one, other in zip(lists(alone), lists(twice), strict=True):
        assert [h[1:] for h in one] == [h[1:] for h in other]
        for (score, *_), (twice_score, _, words) in zip(one, other, strict=True):
            # Scores are fp32 sums: adding a word rounds by 2^-24 of the sum at most, which for
            # long hypotheses is more than 1e-4.
            rounding = abs(score) * (len(words) + 1) * 2**-24
            assert score == pytest.approx(twice_score, abs=max(1e-4, rounding))


def test_merge_refuses_swapped_shards(work):
    one, two = decode_shards(work, 2)
    with pytest.raises(SystemExit, match="where shard 1 belongs"):
        seqkd("merge", "--shards", two, one, "--src", work / "train.de", "--output", work / "x")
    assert not (work / "x").exists()


def select(work: Path, nbest: Path, name: str = "out", parts: int = 0, **settings) -> dict:
    """Select targets; the text also serves as some parts of monolingual text."""
    config = work / "targets.yaml"
    config.write_text(yaml.dump(settings), encoding="utf-8")
    seqkd(
        "select", "--config", config, "--nbest", nbest, "--src", work / "train.de",
        "--reference", work / "train.en", "--tgt-vocab", work / "tgt.vocab",
        "--monolingual-nbest", *[nbest] * parts, "--monolingual-src", *[work / "train.de"] * parts,
        "--output-src", work / f"{name}.de", "--output-tgt", work / f"{name}.en",
        "--manifest", work / f"{name}.json",
    )  # fmt: skip
    return json.loads((work / f"{name}.json").read_text(encoding="utf-8"))


def test_select_drops_and_counts_empty_translations(work):
    nbest = merged(work, 1)
    manifest = select(work, nbest, rule="one-best", beam=4)
    sources = list(read_lines(work / "out.de"))
    targets = list(read_lines(work / "out.en"))
    assert len(sources) == len(targets) == manifest["kept"]
    assert manifest["sentences"] == 47
    assert manifest["dropped_empty"] == 47 - manifest["kept"] >= 1
    assert "" not in targets
    best = {
        source: next((h.text for h in record.hypotheses if h.text), None)
        for source, record in read_nbest(nbest, read_lines(work / "train.de"))
    }
    assert targets == [best[source] for source in sources]


def test_select_adds_monolingual_text_or_takes_it_alone(work):
    nbest = merged(work, 1)
    plain = select(work, nbest, "plain", rule="one-best", beam=4)
    parallel = list(read_lines(work / "plain.en"))
    both = select(work, nbest, parts=2, rule="one-best", beam=4, monolingual={"sentences": 60})
    added = both["monolingual_text"]
    assert (added["sentences"], both["sentences"]) == (60, plain["sentences"])
    assert "mean_similarity" not in added
    targets = list(read_lines(work / "out.en"))
    assert targets[: len(parallel)] == parallel
    assert targets[len(parallel) :] == [*parallel, *parallel][: added["pairs"]]
    assert {"monolingual_src_1", "monolingual_nbest_2", "reference"} <= set(both["inputs"])

    text = {"sentences": 94, "alone": True, "drop": 0.5}
    alone = select(work, nbest, parts=2, rule="one-best", beam=4, monolingual=text)
    measured = alone["monolingual_text"]
    assert measured["dropped_worst"] == measured["pairs"] // 2
    assert len(list(read_lines(work / "out.en"))) == measured["pairs_written"]
    assert "sentences" not in alone  # of the parallel text

    with pytest.raises(SystemExit, match=r"train\.de: ends after 94 of 95 sentences"):
        select(work, nbest, parts=2, rule="one-best", beam=4, monolingual={"sentences": 95})


def test_select_reports_similarity_and_its_oracle(work):
    nbest = merged(work, 1)
    one_best = select(work, nbest, rule="one-best", beam=4)
    inter = select(work, nbest, "inter", rule="most-similar", beam=4)
    assert one_best["share_not_one_best"] == 0
    assert inter["share_not_one_best"] > 0
    assert inter["mean_similarity"] == inter["mean_similarity_of_oracle"]
    assert inter["mean_similarity_of_one_best"] == one_best["mean_similarity"]
    assert inter["mean_similarity"] > one_best["mean_similarity"]


def pairs(work: Path, name: str) -> list[tuple[str, str]]:
    sides = (read_lines(work / f"{name}.{side}") for side in ("de", "en"))
    return list(zip(*sides, strict=True))


def test_select_writes_several_targets_a_source_beside_each_other(work):
    nbest = merged(work, 1)
    manifest = select(work, nbest, rule="n-best", beam=4, keep=3)
    expected = []
    for source, record in read_nbest(nbest, read_lines(work / "train.de")):
        texts = dict.fromkeys(h.text for h in record.hypotheses if h.text.strip())
        expected += [(source, text) for text in list(texts)[:3]]
    assert pairs(work, "out") == expected
    assert manifest["pairs"] == manifest["pairs_written"] == len(expected)


def test_select_adds_references_beside_the_targets(work):
    nbest = merged(work, 1)
    select(work, nbest, "one", rule="one-best", beam=4)
    manifest = select(work, nbest, "both", rule="one-best", beam=4, gold=1.0)
    texts = [list(read_lines(work / f"train.{side}")) for side in ("de", "en")]
    gold = list(zip(*texts, strict=True))
    assert sorted(pairs(work, "both")) == sorted(pairs(work, "one") + gold)
    assert manifest["added_gold"] == len(gold)
    manifest = select(work, nbest, "some", rule="one-best", beam=4, gold=0.25)
    assert manifest["added_gold"] == len(gold) // 4


@pytest.mark.parametrize("drop_by", ["log-prob", "similarity"])
def test_select_drops_the_worst_and_counts_them(work, drop_by):
    nbest = merged(work, 1)
    whole = select(work, nbest, "whole", rule="most-similar", beam=4)
    cut = select(work, nbest, "cut", rule="most-similar", beam=4, drop=0.25, drop_by=drop_by)
    assert cut["dropped_worst"] == int(0.25 * whole["pairs"])
    assert cut["pairs_written"] == whole["pairs"] - cut["dropped_worst"]
    scored = {}
    for source, record in read_nbest(nbest, read_lines(work / "train.de")):
        for h in record.hypotheses:
            scored[source, h.text] = max(
                scored.get((source, h.text), -1e9), h.log_prob / (len(h.tokens) + 1)
            )
    left, gone = set(pairs(work, "cut")), set(pairs(work, "whole")) - set(pairs(work, "cut"))
    if drop_by == "log-prob":
        assert max(scored[pair] for pair in gone) <= min(scored[pair] for pair in left)


def test_sampled_lists_do_not_depend_on_the_shards_and_can_be_selected_from(work):
    drawn = ("--sample", "--n-best", 3, "--seed", 7, "--top-p", 0.9, "--temperature", 0.8)
    one, two = (merged(work, shards, *drawn) for shards in (1, 2))
    assert list(read_lines(one)) == list(read_lines(two))
    manifest = select(work, one, rule="n-best", keep=3, sample={"draws": 3, "seed": 7})
    assert manifest["mean_hypotheses"] <= 3
    assert manifest["pairs"] >= manifest["kept"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda work: (work / "train.en").write_text("x\n"), "ends after line 1"),
        (lambda work: (work / "train.de").write_text("x\n" * 47), "a different source line"),
        (lambda work: (work / "tgt.vocab").unlink(), "not found"),
    ],
)
def test_select_refuses_what_does_not_fit(work, change, match):
    nbest = merged(work, 1)
    change(work)
    with pytest.raises(SystemExit, match=match):
        select(work, nbest, rule="most-similar", beam=4)
    assert not (work / "out.en").exists()


def test_select_does_not_drop_by_scores_that_are_missing(work):
    nbest = merged(work, 1)
    records = [record for _, record in read_nbest(nbest, read_lines(work / "train.de"))]
    with atomic_text(nbest) as file:
        for record in records:
            unscored = tuple(h._replace(log_prob=0.0) for h in record.hypotheses)
            file.write(to_line(record._replace(hypotheses=unscored)) + "\n")
    with pytest.raises(SystemExit, match="have no scores; use drop_by: similarity"):
        select(work, nbest, rule="one-best", beam=4, drop=0.25)


def test_decode_refuses_settings_of_sampling_without_it(work):
    with pytest.raises(SystemExit, match="--top-k, --top-p and --temperature need --sample"):
        seqkd(
            "decode", "--model", work / "model.safetensors", "--src", work / "train.de",
            "--top-k", 10, "--output", work / "x",
        )  # fmt: skip


def test_decode_refuses_a_shard_out_of_range(work):
    with pytest.raises(SystemExit, match="--shard must be between 1 and 2, got 3"):
        seqkd(
            "decode", "--model", work / "model.safetensors", "--src", work / "train.de",
            "--shard", 3, "--shards", 2, "--output", work / "x",
        )  # fmt: skip
