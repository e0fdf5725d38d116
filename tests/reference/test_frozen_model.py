"""Model files of an earlier version still load, and translate as they did."""

from __future__ import annotations

from statistics import median

import pytest

from frozen_models import MODELS, SEARCHES, SOURCES, key, stored, translations

ABSOLUTE = 1e-4  # of a sum of up to 30 log-probabilities in fp32
# An int8 activation that lies at a half may be rounded to the other side on another CPU. That is
# one step of 1/127 in one sentence; a change of the arithmetic would show in all of them.
ABSOLUTE_OF_ONE_INT8_SENTENCE = 0.05


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", MODELS)
def test_an_old_model_file_translates_as_it_did(name: str, search: str):
    now, before = translations(name, search), stored()[key(name, search)]
    assert len(now) == len(SOURCES)
    assert [[h["text"] for h in nbest] for nbest in now] == [
        [h["text"] for h in nbest] for nbest in before
    ]
    errors = [
        max(abs(x["log_prob"] - y["log_prob"]) for x, y in zip(*pair, strict=True))
        for pair in zip(now, before, strict=True)
    ]
    assert median(errors) < ABSOLUTE
    assert max(errors) < (ABSOLUTE_OF_ONE_INT8_SENTENCE if "int8" in name else ABSOLUTE)
