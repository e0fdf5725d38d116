"""Training: it learns, it resumes to the bit, and the number of processes changes nothing."""

import itertools
import math
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from digit_trainer import digit_run, digits, numbers, tokens, weights
from full_disk import full_disk
from seqkd.config.architecture import LstmConfig
from seqkd.config.bleu import bleu_for
from seqkd.config.model_entry import ModelEntry
from seqkd.config.training import ObjectiveConfig, TrainingConfig
from seqkd.errors import SeqkdError
from seqkd.model_files.model_file import load_model
from seqkd.models.lstm import Lstm
from seqkd.models.protocol import State
from seqkd.training.batching import ParallelTokens
from seqkd.training.checkpoint import Checkpoint
from seqkd.training.divergences import Objective
from seqkd.training.schedule import halving_start, learning_rate
from seqkd.training.setup import initial_model
from seqkd.training.soft_targets import TeacherAlongside
from seqkd.training.validation import greedy_bleu
from seqkd.vocabulary.specials import EOS
from tiny_model import write_model
from training_folder import TrainingFolder

CPU = torch.device("cpu")
STOPPING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@pytest.fixture(autouse=True)
def signals():
    """Give back the handlers that training takes over."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("pairs", "size"),
    [(0, 16), (15_999, 16), (16_000, 32), (31_999, 32), (32_000, 64), (10**8, 64)],
)
def test_batches_are_smaller_with_little_text_unless_the_config_says(pairs: int, size: int):
    assert TrainingConfig().sentences_in_batch(pairs) == size
    assert TrainingConfig(batch_sentences=0).sentences_in_batch(pairs) == 0
    assert TrainingConfig(accumulate=4).sentences_in_batch(4 * pairs) == size
    assert TrainingConfig(epoch_updates=9).sentences_in_batch(pairs) == 64


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_that_stops_saves_first(number, tmp_path):
    checkpoint, run = Checkpoint(tmp_path, "same", 3600.0, 0.0), digit_run()
    checkpoint.save_if_due(run.state, CPU)
    assert not list(tmp_path.iterdir())  # it was not time
    os.kill(os.getpid(), number)
    with pytest.raises(SystemExit) as stopped:
        checkpoint.save_if_due(run.state, CPU)
    assert stopped.value.code == 143
    assert "resumed after" in Checkpoint(tmp_path, "same", 60.0, 0.0).restore(digit_run().state)


def test_a_full_disk_is_an_error_of_the_disk_and_leaves_no_checkpoint(tmp_path):
    with full_disk(), pytest.raises(OSError, match="File too large"):
        Checkpoint(tmp_path, "same", 0.0, time.time()).save_if_due(digit_run().state, CPU)
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_costs_what_all_its_processes_took(tmp_path):
    Checkpoint(tmp_path, "same", 0.0, time.time() - 100).save_if_due(digit_run().state, CPU)
    second = Checkpoint(tmp_path, "same", 0.0, time.time() - 10)
    second.restore(digit_run().state)
    second.save_if_due(digit_run().state, CPU)
    third = Checkpoint(tmp_path, "same", 0.0, time.time())
    third.restore(digit_run().state)
    assert third.earlier.seconds == pytest.approx(110, abs=5)
    assert third.earlier.cpu_seconds > second.earlier.cpu_seconds > 0


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    whole = digit_run(average_checkpoints=2)
    whole.run()
    for stop_after in (1, 6, 8, 13):  # in an epoch, before, at and after a validation
        first = digit_run(average_checkpoints=2)
        checkpoint = Checkpoint(tmp_path / str(stop_after), "same", 0.0, 0.0)
        for _ in first.updates():
            checkpoint.save_if_due(first.state, CPU)
            if first.state.update == stop_after:
                break
        scores = iter(range(len(first.state.curve), 100))
        second = digit_run(
            average_checkpoints=2, validate=lambda m, scores=scores: (2.0, float(next(scores)))
        )
        message = Checkpoint(tmp_path / str(stop_after), "same", 1.0, 0.0).restore(second.state)
        assert message == f"resumed after update {stop_after}"
        second.run()
        assert numbers(second) == numbers(whole)
        for name, value in weights(whole).items():
            assert torch.equal(value, weights(second)[name]), name


def test_a_parent_with_another_number_of_heads_is_refused(tmp_path):
    path = write_model(tmp_path / "parent.safetensors", family="transformer")
    parent = load_model(path)
    design = parent.model.config.model_copy(update={"heads": 2 * parent.model.config.heads})
    entry = ModelEntry(
        model="x", seed=1, architecture=design, training=TrainingConfig(), targets="gold",
        objective=ObjectiveConfig(),
    )  # fmt: skip
    with pytest.raises(SeqkdError, match="its architecture differs"):
        initial_model(entry, path, (parent.src_vocab, parent.tgt_vocab))


def test_state_of_another_config_is_refused(tmp_path):
    Checkpoint(tmp_path, "one", 0.0, 0.0).save_if_due(digit_run().state, CPU)
    fresh = digit_run()
    assert "another config" in Checkpoint(tmp_path, "two", 1.0, 0.0).restore(fresh.state)
    assert numbers(fresh) == numbers(digit_run())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, 100, -1])
def test_truncated_state_is_refused(tmp_path, size):
    Checkpoint(tmp_path, "one", 0.0, 0.0).save_if_due(digit_run().state, CPU)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:size])
    assert "cannot be read" in Checkpoint(tmp_path, "one", 1.0, 0.0).restore(digit_run().state)


@pytest.mark.parametrize("error", [OSError(116, "Stale file handle"), RuntimeError("no memory")])
def test_a_checkpoint_that_cannot_be_read_now_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def fails(*_: object, **__: object) -> None:
        raise error

    path = tmp_path / "checkpoint.pt"
    torch.save({"a": torch.ones(3)}, path)
    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(type(error)):
        Checkpoint(tmp_path, "one", 1.0, 0.0).restore(digit_run().state)
    assert path.exists()


def test_accumulated_batches_equal_one_large_batch():
    data = digits(32)
    results = []
    for size, accumulate in ((32, 1), (8, 4)):
        torch.manual_seed(1)
        model = Lstm(LstmConfig(layers=1, width=8, dropout=0.0), 10, 10)
        run = digit_run(data, model=model, epochs=1, batch_sentences=size, accumulate=accumulate)
        run.run()
        results.append(weights(run))
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-4, atol=1e-6)


def test_epochs_of_equal_updates_take_up_where_a_pass_was_left():
    """So texts of any size can be compared: here a pass has 8 updates, an epoch 3."""

    def batches(**options):
        task = digit_run(epochs=6, accumulate=2, batch_sentences=4, **options).task
        epochs = [task.epoch(number) for number in range(6)]
        return [len(epoch) for epoch in epochs], [ids.tolist() for x in epochs for ids in x.plan]

    passes, whole = batches()
    sizes, cut = batches(epoch_updates=3)
    assert (passes, sizes) == ([15] * 6, [6] * 6)
    assert cut == whole[:36]
    assert sorted(itertools.chain.from_iterable(cut[:15])) == list(range(60))
    run = digit_run(epochs=4, epoch_updates=3)
    assert len(run.run()) == 12
    assert [point.update for point in run.state.curve] == [3, 6, 9, 12]


def test_more_processes_than_batches_of_an_update_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SeqkdError, match=r"2 processes share the 1 batches .* at most 1 processes"):
        digit_run(accumulate=1).run()


@pytest.mark.parametrize("best", ["bleu", "perplexity", "last"])
def test_the_weights_kept_are_those_of_the_best_validation(best):
    scores = iter([(3.0, 10.0), (1.0, 5.0), (2.0, 7.0)])
    run = digit_run(epochs=3, best=best, validate=lambda m: next(scores))
    kept = [weights(run) for update in run.updates() if update.validation]
    expected = kept[{"bleu": 0, "perplexity": 1, "last": 2}[best]]
    for name, value in expected.items():
        assert torch.equal(weights(run)[name], value)


@pytest.mark.parametrize(("best", "count"), [("last", 1), ("last", 3), ("last", 99), ("bleu", 3)])
def test_averaged_weights_are_the_mean_of_the_last_validations(best, count):
    seen = []
    run = digit_run(
        best=best, average_checkpoints=count, validations_per_epoch=2,
        validate=lambda model: seen.append(weights(run)) or (2.0, 9.0 - len(seen)),
    )  # fmt: skip
    run.run()
    assert len(seen) == 4
    for name, value in weights(run).items():
        torch.testing.assert_close(value, torch.stack([w[name] for w in seen[-count:]]).mean(0))


def test_patience_stops_a_run():
    run = digit_run(epochs=9, patience=2, validate=lambda m: (2.0, 1.0))
    run.run()
    assert [v.epoch for v in run.state.curve] == [1, 2, 3]


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_a_run_that_diverges_says_so(compiled, monkeypatch):
    monkeypatch.setenv("SEQKD_KERNELS", compiled)
    run = digit_run()
    with torch.no_grad():
        run.state.model.output_weight_VD.fill_(math.nan)
    with pytest.raises(
        SeqkdError, match=r"the loss of update 1 is nan; lower training\.learning_rate"
    ):
        run.run()


class CopyingModel:
    """Translates each sentence as itself; the model, its decoder and its vocabulary in one."""

    vocab_size = 12

    def decoder(self):
        return self

    def start(self, src_BS, length_B):
        return State((src_BS,), (torch.zeros(len(src_BS), dtype=torch.long),))

    def step(self, token_N, state):
        (src_BS,), (place_N,) = state
        word_N = src_BS.gather(1, place_N[:, None].clamp(max=src_BS.shape[1] - 1))[:, 0]
        logits_NV = torch.nn.functional.one_hot(word_N.clamp(min=EOS), self.vocab_size) * 9.0
        return logits_NV, State((src_BS,), (place_N + 1,))

    def decode(self, sentences):
        return [" ".join(map(str, ids)) for ids in sentences]


def test_dev_bleu_has_the_length_limit_of_evaluation():
    lines = [[4 + k * k % 7 for k in range(length)] for length in (5, 120, 200)]
    data, model = ParallelTokens(tokens(lines), tokens(lines)), CopyingModel()
    references = model.decode(lines)
    bleu = greedy_bleu(model, data, references, model, torch.device("cpu"), bleu_for("de"))
    assert bleu == pytest.approx(100.0)


def test_word_kd_alone_from_oneself_leaves_the_weights_near():
    model = Lstm(LstmConfig(layers=1, width=8, dropout=0.0), 10, 10)
    teacher = Lstm(model.config, 10, 10)
    teacher.load_state_dict(model.state_dict())
    run = digit_run(soft=TeacherAlongside(teacher), model=model, epochs=1, optimizer="sgd")
    run.replace(objective=Objective(kd_weight=1.0)).run()
    for name, value in teacher.named_parameters():
        torch.testing.assert_close(weights(run)[name], value.detach(), rtol=0, atol=1e-4)


def test_after_update_holds_for_the_final_weights():
    class Zero:
        last_cut = 0

        @torch.no_grad()
        def after_update(self, model, update, *, is_last=False):
            model.attention_HH.zero_()

    run = digit_run(weight_decay=0.1)
    run.pruner = Zero()
    run.run()
    assert not run.state.model.attention_HH.any()


def test_it_learns_to_reverse_digits():
    data, held_out = digits(800), digits(60, seed=1)
    torch.manual_seed(1)
    model = Lstm(LstmConfig(layers=1, width=48, dropout=0.0, init="xavier"), 10, 10)
    run = digit_run(data, model=model, epochs=12, batch_sentences=32, learning_rate=1e-2)
    run.run()
    from seqkd.search.batches import translate_ids
    from seqkd.search.config import SearchConfig
    from seqkd.vocabulary.tokens import source_rows

    sources = source_rows(held_out.src[k] for k in range(60))
    found = translate_ids(model.decoder(), sources, SearchConfig(beam=1))
    right = sum(list(found[k][0].tokens) == held_out.tgt[k] for k in range(60))
    assert right >= 50


def config(**options):
    return TrainingConfig(**(dict(learning_rate=1.0, warmup_updates=0) | options))


def test_linear_schedule():
    made = config(warmup_updates=10, decay_from=0.5)
    rates = [learning_rate(made, u, 100, 1, None) for u in (1, 5, 10, 50, 75, 100)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5, 0.03])


def test_kim_rush_schedule_halves_after_epoch_nine_or_once_perplexity_rises():
    made = config(schedule="kim-rush", decay_from=9)
    assert halving_start(made, 9, [9, 8, 7]) is None
    assert halving_start(made, 10, [9, 8, 7]) == 10
    # The rise after epoch 3 halves from epoch 4 on, and it never stops.
    assert halving_start(made, 4, [9, 7, 8]) == 4
    assert halving_start(made, 6, [9, 7, 8, 6, 5]) == 4
    rates = [learning_rate(made, 1, 1, epoch, 10) for epoch in (9, 10, 11, 13)]
    assert rates == [1.0, 0.5, 0.25, 0.0625]


def test_inverse_square_root_schedule():
    made = config(schedule="inverse-sqrt", warmup_updates=100)
    assert learning_rate(made, 50, 999, 1, None) == 0.5
    assert learning_rate(made, 400, 999, 1, None) == 0.5


def test_training_says_which_pairs_it_skips(tmp_path: Path):
    folder = TrainingFolder.make(tmp_path / "folder", epochs=1, max_length=20)
    job = folder.start()
    assert job.wait() == 0
    skipped = folder.manifest()["pairs_too_long_or_empty"]
    assert 2 < skipped < 160
    assert f"{skipped} of 160 pairs are empty or longer than training.max_length (20" in job.stderr
