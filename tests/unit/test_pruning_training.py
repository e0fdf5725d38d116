"""A pruned run, resumed, is the run that was never stopped; and it ends with the asked zeros."""

import copy

import pytest
import torch

from digit_trainer import digit_run, weights
from seqkd.config.training import PruneConfig
from seqkd.training.session import start_pruning


def pruned_run(config, **options):
    run = digit_run(**({"best": "last"} | options))
    return prune(run, config)


def prune(run, config):
    run.pruner = start_pruning(run.task, run.state, config)
    return run


def zeros(run):
    return sum(int((p == 0).sum()) for p in run.state.model.parameters())


def size(run):
    return sum(p.numel() for p in run.state.model.parameters())


@pytest.mark.parametrize(("percentage", "cuts"), [(70, 1), (70, 3), (80, 4)])
@pytest.mark.parametrize("stop_after", [1, 3, 7, 12])
def test_a_pruned_run_that_is_resumed_equals_one_never_stopped(percentage, cuts, stop_after):
    config = PruneConfig(percentage=percentage, cuts=cuts)
    whole = pruned_run(config)
    whole.run()
    stopped = pruned_run(config)
    stopped.run(until=stop_after)
    resumed = digit_run(best="last")
    resumed.state.load_state_dict(copy.deepcopy(stopped.state.state_dict()))
    prune(resumed, config).run()
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(resumed)[name]), name
    assert zeros(whole) == round(percentage / 100 * size(whole))


@pytest.mark.parametrize("options", [{}, {"patience": 1}, {"average_checkpoints": 3}])
def test_only_a_model_that_is_pruned_as_far_as_asked_is_selected(options):
    config = PruneConfig(percentage=80, cuts=4)
    falling = iter(range(100, 0, -1))
    run = pruned_run(
        config, best="bleu", epochs=6, validate=lambda m: (2.0, float(next(falling))), **options
    )
    measured = {}
    for update in run.updates():
        if update.validation is not None:
            measured[run.state.update] = weights(run)
    first = min(update for update in measured if update >= run.pruner.last_cut)
    assert min(measured) < run.pruner.last_cut
    assert zeros(run) == round(0.8 * size(run))
    if "average_checkpoints" not in options:
        for name, weight in weights(run).items():
            assert torch.equal(weight, measured[first][name]), name
