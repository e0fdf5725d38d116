"""Subword sampling: its distribution, the same samples after a kill, and where it is refused."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml

from digit_trainer import digit_run, digits, weights
from processes import Process
from seqkd.config.vocab import VocabConfig
from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.training.batching import ParallelTokens
from seqkd.training.checkpoint import Checkpoint
from seqkd.vocabulary import subword_sampling
from seqkd.vocabulary.learning import train_vocabulary
from seqkd.vocabulary.subword_sampling import N_BEST, SubwordSampler, segmentation_distribution
from seqkd.vocabulary.vocabulary import SubwordVocabulary
from training_folder import SMOKE, TrainingFolder

LINES = list(read_lines(SMOKE / "smoke.de"))[:300]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def vocabulary(request: pytest.FixtureRequest) -> SubwordVocabulary:
    return train_vocabulary(LINES, VocabConfig(kind=request.param, size=120))


def draw(vocabulary, lines: list[str], rate: float, *seed: int) -> list[list[int]]:
    return SubwordSampler(segmentation_distribution(vocabulary, rate), seed).encode(lines)


def test_draws_follow_from_seed_and_text_alone(vocabulary: SubwordVocabulary):
    drawn = draw(vocabulary, LINES, 0.3, 1, 0, 0)
    distribution = segmentation_distribution(vocabulary, 0.3)
    draw(vocabulary, LINES, 0.3, 9)  # what others draw in between changes nothing
    in_parts = SubwordSampler(distribution, [1, 0, 0])
    assert [*in_parts.encode(LINES[:100]), *in_parts.encode(LINES[100:])] == drawn
    for other in ((2, 0, 0), (1, 1, 0), (1, 0, 1)):
        assert draw(vocabulary, LINES, 0.3, *other) != drawn


def test_words_of_any_length_are_drawn_alike_kept_or_not(monkeypatch: pytest.MonkeyPatch):
    vocabulary = train_vocabulary(LINES, VocabConfig(size=120))
    kept = draw(vocabulary, LINES, 0.3, 1)
    monkeypatch.setattr(subword_sampling, "_CACHED_LENGTH", 4)
    assert draw(vocabulary, LINES, 0.3, 1) == kept
    sampler = segmentation_distribution(vocabulary, 0.3)
    SubwordSampler(sampler, (1,)).encode(["x" * 9, "abcd"])
    assert max(map(len, sampler._cache)) <= 5  # with the mark of its start


def test_draws_do_not_depend_on_the_process(vocabulary: SubwordVocabulary, tmp_path: Path):
    (tmp_path / "vocab").write_bytes(vocabulary.serialise())
    program = f"""
from seqkd.vocabulary.subword_sampling import SubwordSampler, segmentation_distribution
from seqkd.vocabulary.vocabulary import load_vocabulary
distribution = segmentation_distribution(load_vocabulary('vocab'), 0.3)
print(SubwordSampler(distribution, [5]).encode({LINES!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(draw(vocabulary, LINES, 0.3, 5))


def test_draws_are_the_same_text(vocabulary: SubwordVocabulary):
    for rate in (0.01, 0.5, 1.0):
        assert vocabulary.decode(draw(vocabulary, LINES, rate, 1)) == LINES
    assert draw(vocabulary, ["", "q\u4e00\u4e01 q"], 0.5, 1)[0] == []
    unknown = draw(vocabulary, ["\u4e00\u4e01"], 0.5, 1)
    assert unknown == vocabulary.encode(["\u4e00\u4e01"])


def test_bpe_at_its_limits():
    vocabulary = train_vocabulary(LINES, VocabConfig(kind="bpe", size=120))
    assert draw(vocabulary, LINES, 0.0, 1) == vocabulary.encode(LINES)
    assert all(
        len(x) == 1 for line in draw(vocabulary, LINES, 1.0, 1) for x in vocabulary.pieces(line)
    )


def test_a_high_power_leaves_the_most_probable_cut():
    vocabulary = train_vocabulary(LINES, VocabConfig(kind="unigram", size=120))
    assert draw(vocabulary, LINES, 1e4, 1) == vocabulary.encode(LINES)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_bpe_leaves_out_its_last_merge_at_the_rate(rate: float):
    vocabulary = train_vocabulary(LINES, VocabConfig(kind="bpe", size=120))
    scores = vocabulary.scores()
    # A word of one letter is one merge, of the space before it and the letter.
    word = next(piece[1] for piece in scores if len(piece) == 2 and piece[0] == "\u2581")
    draws = 4000
    cut = sum(len(ids) == 2 for ids in draw(vocabulary, [word] * draws, rate, 1))
    assert cut == pytest.approx(draws * rate, abs=5 * math.sqrt(draws * rate * (1 - rate)))


def segmentations(word: str, scores: dict[str, float]) -> dict[tuple[str, ...], float]:
    """Every segmentation of a word, with the sum of their scores."""
    found = {}
    for cuts in itertools.product([False, True], repeat=len(word) - 1):
        pieces = [word[0]]
        for cut, letter in zip(cuts, word[1:], strict=True):
            if cut:
                pieces.append(letter)
            else:
                pieces[-1] += letter
        if all(piece in scores for piece in pieces):
            found[tuple(pieces)] = sum(scores[piece] for piece in pieces)
    return found


@pytest.mark.parametrize("power", [0.2, 1.0])
def test_unigram_draws_by_the_power_of_the_probability(power: float):
    vocabulary = train_vocabulary(LINES, VocabConfig(kind="unigram", size=120))
    scores = {piece: score for piece, (_, score) in vocabulary.scores().items()}
    words = [word for word in " ".join(LINES).split() if len(word) < 8]
    word = max(words, key=lambda word: len(segmentations("\u2581" + word, scores)))
    choices = segmentations("\u2581" + word, scores)
    assert 8 < len(choices) <= N_BEST
    mass = {choice: math.exp(power * score) for choice, score in choices.items()}
    draws = 6000
    cuts = draw(vocabulary, [word] * draws, power, 1)
    drawn = Counter(tuple(vocabulary.pieces(ids)) for ids in cuts)
    for choice, weight in mass.items():
        p = weight / sum(mass.values())
        assert drawn[choice] == pytest.approx(draws * p, abs=5 * math.sqrt(draws * p * (1 - p)) + 1)


def test_words_are_refused():
    with pytest.raises(SeqkdError, match="has one segmentation"):
        segmentation_distribution(train_vocabulary(LINES, VocabConfig(kind="word", size=9)), 0.1)


def pairs_of(epoch: int) -> ParallelTokens:
    return digits(60, seed=epoch)


def test_each_epoch_has_its_own_tokens():
    seen = []
    run = digit_run().replace(pairs=lambda epoch: seen.append(epoch) or pairs_of(epoch))
    run.run()
    assert seen == [0, 1]


@pytest.mark.parametrize("stop_after", [1, 8, 11])
def test_a_resumed_run_resamples_like_one_that_was_never_stopped(tmp_path: Path, stop_after: int):
    whole, stopped, resumed = (digit_run(best="last").replace(pairs=pairs_of) for _ in range(3))
    whole.run()
    checkpoint = Checkpoint(tmp_path, "same", 0.0, 0.0)
    stopped.run(until=stop_after)
    checkpoint.save_if_due(stopped.state, stopped.task.device)
    Checkpoint(tmp_path, "same", 60.0, 0.0).restore(resumed.state)
    resumed.run()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name])
    losses = [[result.train_loss for result in run.state.curve] for run in (whole, resumed)]
    assert losses[0] == losses[1]
    assert whole.state.update == resumed.state.update


def test_a_killed_training_ends_in_the_same_bytes(tmp_path: Path):
    whole = TrainingFolder.make(tmp_path / "whole", subword_sampling=0.3).finish()
    plain = TrainingFolder.make(tmp_path / "plain").finish()
    killed = TrainingFolder.make(tmp_path / "killed", subword_sampling=0.3)
    job = killed.start()
    while job.is_alive() and not killed.state.is_file():
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    killed.finish()
    assert killed.manifest()["resumed_from_update"] > 0
    assert killed.model_bytes() == whole.model_bytes() != plain.model_bytes()


def test_a_training_that_stopped_early_but_could_not_write_ends_on_the_next_try(tmp_path: Path):
    folder = TrainingFolder.make(
        tmp_path / "folder",
        subword_sampling=0.3, patience=1, validations_per_epoch=4, learning_rate=1e-9,
    )  # fmt: skip
    in_the_way = folder.path / "model.safetensors"
    in_the_way.mkdir()
    assert folder.start().wait() == 1
    in_the_way.rmdir()
    manifest = folder.finish().manifest()
    assert manifest["stopped_early"]
    assert manifest["resumed_from_update"] == manifest["updates"]


def test_stored_distributions_and_sampled_subwords_are_refused(tmp_path: Path):
    folder = TrainingFolder.make(tmp_path / "folder", subword_sampling=0.3)
    entry = yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
    entry["objective"] = {"kd_weight": 0.5}
    (folder.path / "config.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
    stored = ["--soft-targets", "top-k.npy", "top-k.json"]
    for name in stored[1:]:
        (folder.path / name).touch()
    job = Process("seqkd", *folder.command(), *stored, folder=folder.path)
    assert job.wait() == 1
    assert "belong to one segmentation; give --teacher" in job.stderr
