"""A pruned run, resumed, is the run that was never stopped; and it ends with the asked zeros."""

import copy

import pytest
import torch

from digit_trainer import digit_run, weights
from seqkd.config.training import PruneConfig
from seqkd.training.session import start_pruning


def pruned_run(config):
    run = digit_run(best="last")
    run.after_update = start_pruning(run.task, run.state, config).after_update
    return run


@pytest.mark.parametrize("cuts", [1, 3])
@pytest.mark.parametrize("stop_after", [1, 3, 7, 12])
def test_a_pruned_run_that_is_resumed_equals_one_never_stopped(cuts, stop_after):
    config = PruneConfig(percentage=70, cuts=cuts)
    whole = pruned_run(config)
    whole.run()
    stopped = pruned_run(config)
    stopped.run(until=stop_after)
    resumed = digit_run(best="last")
    resumed.state.load_state_dict(copy.deepcopy(stopped.state.state_dict()))
    resumed.after_update = start_pruning(resumed.task, resumed.state, config).after_update
    resumed.run()
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(resumed)[name]), name
    total = sum(p.numel() for p in whole.state.model.parameters())
    assert sum(int((p == 0).sum()) for p in whole.state.model.parameters()) == round(0.7 * total)
