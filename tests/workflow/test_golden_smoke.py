"""The smoke experiment, run for real, ends with the table that it has always ended with."""

from __future__ import annotations

import pandas as pd
import pytest

from golden_smoke import TABLE, read, table_of
from workflow_harness import RealRun

PROBABILITIES = ["mode_probability_mean", "mode_probability_median"]


@pytest.fixture(scope="module")
def tables(smoke_run: RealRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    assert smoke_run.done.returncode == 0, smoke_run.done.stdout + smoke_run.done.stderr
    stored = read(TABLE)
    return read(table_of(smoke_run.workspace))[stored.columns], stored


# The whole run without the compiled part, without AVX in PyTorch and with MKL's sums in its most
# portable order translates every sentence alike: BLEU, chrF and their p-values keep all six digits,
# perplexities move by 4e-5.
def test_names_counts_and_scores_are_the_same(tables: tuple[pd.DataFrame, pd.DataFrame]):
    new, stored = (table.drop(columns=PROBABILITIES) for table in tables)
    pd.testing.assert_frame_equal(new, stored, rtol=1e-3, atol=0.0)


# A product of some fifty probabilities of words: 2e-3 in the same run.
def test_probabilities_are_the_same(tables: tuple[pd.DataFrame, pd.DataFrame]):
    new, stored = (table[PROBABILITIES] for table in tables)
    pd.testing.assert_frame_equal(new, stored, rtol=5e-2, atol=0.0)
