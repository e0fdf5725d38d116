"""A pruned run, resumed, is the run that was never stopped; and it ends with the asked zeros."""

import copy

import pytest
import torch

from digit_trainer import trainer, weights
from seqkd.config.pruning import PruneConfig
from seqkd.steps.train import _hold_masks
from seqkd.training.saliency import fisher_of


@pytest.mark.parametrize("criterion", ["magnitude", "saliency"])
@pytest.mark.parametrize("cuts", [1, 3])
@pytest.mark.parametrize("stop_after", [1, 3, 7, 12])
def test_a_pruned_run_that_is_resumed_equals_one_never_stopped(criterion, cuts, stop_after):
    config = PruneConfig(percentage=70, criterion=criterion, cuts=cuts)
    whole = trainer(best="last")
    _hold_masks(whole, config)
    whole.run()

    class Stop(Exception):
        pass

    def stop(run):
        if run.state.update == stop_after:
            raise Stop

    stopped = trainer(best="last")
    _hold_masks(stopped, config)
    stopped.save = stop
    with pytest.raises(Stop):
        stopped.run()
    resumed = trainer(best="last")
    state = {name: value.clone() for name, value in stopped.tensors()}
    resumed.restore(state, copy.deepcopy(stopped.state))
    _hold_masks(resumed, config)
    resumed.run()
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(resumed)[name]), name
    total = sum(p.numel() for p in whole.model.parameters())
    assert sum(int((p == 0).sum()) for p in whole.model.parameters()) == round(0.7 * total)


def test_measuring_saliency_leaves_no_trace():
    run = trainer(best="last")
    run.model.train()
    run.model.compute_dtype = torch.bfloat16
    before = weights(run)
    fisher = fisher_of(run.model, run.data, run.indices, run.device)
    assert all((value >= 0).all() for value in fisher.values())
    assert all((fisher[name] > 0).any() for name in fisher)
    assert all(torch.equal(value, weights(run)[name]) for name, value in before.items())
    assert run.model.training
    assert run.model.compute_dtype == torch.bfloat16
    again = fisher_of(run.model, run.data, run.indices, run.device)
    assert all(torch.equal(fisher[name], again[name]) for name in fisher)
