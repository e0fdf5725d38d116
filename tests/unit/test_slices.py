"""The parts of the config that single steps read, and the files that it makes."""

from __future__ import annotations

import re

import pytest

from seqkd.config.corpus import ParallelCorpus
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import parse_experiment
from seqkd.config.schema import parse
from seqkd.config.slices import check_target, parts, slice_of, source_slice, table_of
from seqkd.errors import SeqkdError


def test_parts_matches_the_paths_of_slices_alone(smoke: dict):
    experiment = Experiment(parse_experiment(smoke))
    model = "lstm-1x16.seq-kd.from-lstm-1x32"
    paths = ["vocab/config", "corpus/tests/test", f"models/{model}/seed-1/config"]
    for path in [*paths, "distilled/lstm-1x32.nll/seed-1/seq-kd/config", "tables/speed"]:
        assert re.fullmatch(parts(experiment), path)
        assert slice_of(experiment, path)
    for path in ["models/lstm-9x9.nll/seed-1/config", "corpus/tests/other", "tables/config"]:
        assert not re.fullmatch(parts(experiment), path)


def test_the_slice_of_training_does_not_know_other_test_sets(smoke: dict):
    before = slice_of(Experiment(parse_experiment(smoke)), "corpus/config")
    smoke["corpus"]["test_sets"]["other"] = {"provider": "files", "src": "a", "tgt": "b"}
    assert slice_of(Experiment(parse_experiment(smoke)), "corpus/config") == before


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("train", [{"provider": "files", "src": "./a", "tgt": ".//b"}], True),
        ("train", [{"provider": "files", "src": "c/a", "tgt": "b"}], False),
        ("test_sets", {"zz": {"provider": "files", "src": "c", "tgt": "d"}, "x": {"held_out": 20}},
         True),
        ("test_sets", {"x": {"provider": "files", "src": "c", "tgt": "d"}, "zz": {"held_out": 21}},
         False),
    ],
)  # fmt: skip
def test_the_slice_of_training_does_not_know_names_of_test_sets_and_ways_to_write_a_path(
    smoke: dict, key: str, value: object, same: bool
):
    removed = {"provider": "files", "src": "c", "tgt": "d"}
    smoke["corpus"] |= {
        "train": [{"provider": "files", "src": "a", "tgt": "b"}],
        "test_sets": {"test": {"held_out": 20}, "removed": removed},
        "decontaminate": ["test", "removed"],
    }
    before = parse_experiment(smoke).parallel_corpus.for_training()
    smoke["corpus"][key] = value
    smoke["corpus"]["decontaminate"] = [
        name for name, test in smoke["corpus"]["test_sets"].items() if test == removed
    ]
    after = parse_experiment(smoke).parallel_corpus.for_training()
    assert (after == before) is same
    assert [after.test_sets[name].src for name in after.decontaminate] == ["c"]
    assert after.test_sets[after.held_out_test].held_out in (20, 21)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("models/lstm-1x64.nll/seed-1/model.safetensors", "no 'lstm-1x64.nll/seed-1' (did you mean "
         "'lstm-1x16.nll/seed-1'?)"),
        ("models/lstm-1x16.nll.int8/seed-2/model.safetensors", "no 'lstm-1x16.nll/seed-2'"),
        ("evaluations/NOPE/seed-1/test.json", "no 'NOPE/seed-1'"),
        ("distilled/lstm-1x32.nll/seed-1+2/seq-kd/train.de", "no 'lstm-1x32.nll/seed-2'"),
        ("distilled/lstm-1x32.nll/seed-1/seq-dk/train.de", "no 'seq-dk' (did you mean 'seq-kd'?)"),
        ("distilled/theirs/seed-1/seq-kd/train.de", "no 'theirs/seed-1' (did you mean"),
        ("distilled/lstm-1x32.nll/seed-1/beam-9/nbest.jsonl.zst", "no 'beam-9'"),
        ("distilled/lstm-1x32.nll/seed-1/beam-4-share-50/shards/1-of-2.jsonl.zst", None),
        ("distilled/lstm-1x32.nll/seed-1/beam-3-monolingual-part-1/nbest.jsonl.zst", None),
        ("distilled/lstm-1x32.nll/seed-1/gold/top-k.npy", None),
        ("distilled/theirs/seed-0/beam-2/nbest.jsonl.zst", None),
        ("models/lstm-1x16.nll.int8/seed-1/model.safetensors", None),
        ("evaluations/lstm-1x16.nll/seed-1/speed.json", None),
        ("corpus/train.de", None),
    ],
)  # fmt: skip
def test_a_target_that_no_config_of_this_kind_makes_is_refused(
    smoke: dict, path: str, message: str | None
):
    smoke["teachers"] = {"theirs": {"kind": "file", "translations": "theirs.en"}}
    smoke["corpus"]["monolingual"] = [{"provider": "files", "src": "mono.de"}]
    smoke["targets"]["more"] = {"rule": "one-best", "beam": 3, "monolingual": {"sentences": 1}}
    experiment = Experiment(parse_experiment(smoke))
    if message is None:
        check_target(experiment, path)
        return
    with pytest.raises(SeqkdError, match=re.escape(f"{path}: this config has {message}")):
        check_target(experiment, path)


def test_a_wheel_is_not_fetched_again_for_another_language():
    home = {"provider": "home-assistant"}
    slices = []
    for language in ("de", "es"):
        corpus = parse(
            ParallelCorpus,
            {"source": language, "target": "en", "train": [home], "dev": {"held_out": 5}},
        )
        slices.append(
            source_slice(corpus, "home-assistant/homeassistant-2026.11.0-py3-none-any.whl")
        )
    assert slices[0] == slices[1]
    parse(ParallelCorpus, slices[0])


def test_a_file_is_not_fetched_again_for_another_partner_or_mirror():
    files = {
        name: {"url": f"https://x.org/{name}.txt", "sha256": digit * 64}
        for digit, name in enumerate(("de", "en", "fr"))
        for digit in [str(digit)]
    }
    slices = []
    for target, mirror in (("en", None), ("fr", "${UNSET_VARIABLE}")):
        source = {"provider": "url", "src": files["de"], "tgt": files[target], "mirror": mirror}
        corpus = parse(
            ParallelCorpus,
            {"source": "de", "target": target, "train": [source], "dev": {"held_out": 5}},
        )
        slices.append(source_slice(corpus, f"url/{'0' * 12}/de.txt"))
    assert slices[0] == slices[1]
    parse(ParallelCorpus, slices[0])


def test_tables_hold_the_rows_that_they_show(smoke: dict):
    experiment = Experiment(parse_experiment(smoke))
    assert len(table_of(experiment, "results").rows) == 10
    pruning = [(row.model, row.pruned) for row in table_of(experiment, "pruning").rows]
    assert pruning == [
        ("lstm-1x32.nll", 0),
        ("lstm-1x16.seq-kd_seq-inter.from-lstm-1x32", 0),
        ("lstm-1x16.seq-kd_seq-inter.from-lstm-1x32.pruned-80", 80),
    ]
    smoke["seeds"] = [1, 2]
    experiment = Experiment(parse_experiment(smoke))
    assert all(row.seeds == (1, 2) for row in table_of(experiment, "speed").rows)
    formats = [row.format for row in table_of(experiment, "speed").rows]
    assert formats == ["fp32", "fp32", "int8"]
