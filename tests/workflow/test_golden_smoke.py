"""The smoke experiment, run for real, ends with the table that it has always ended with."""

from __future__ import annotations

import pytest

from golden_smoke import EXACT, PROBABILITIES, TABLE, Rows, read, table_of
from workflow_harness import RealRun

# The whole run without the compiled part, without AVX in PyTorch and with MKL's sums in its most
# portable order translates every sentence alike: BLEU, chrF and their p-values keep all six digits,
# perplexities move by 4e-5.
RELATIVE = 1e-3
# A product of some fifty probabilities of words: 2e-3 in the same run.
RELATIVE_OF_PROBABILITIES = 5e-2


@pytest.fixture(scope="module")
def rows(smoke_run: RealRun) -> Rows:
    assert smoke_run.done.returncode == 0, smoke_run.done.stdout + smoke_run.done.stderr
    return read(table_of(smoke_run.workspace))


@pytest.fixture(scope="module")
def stored() -> Rows:
    return read(TABLE)


def test_names_and_counts_are_the_same(rows: Rows, stored: Rows):
    wanted = [{name: row[name] for name in EXACT} for row in stored]
    assert [{name: row[name] for name in EXACT} for row in rows] == wanted


def test_scores_are_the_same(rows: Rows, stored: Rows):
    for row, before in zip(rows, stored, strict=True):
        for name, value in before.items():
            if name in EXACT:
                continue
            tolerance = RELATIVE_OF_PROBABILITIES if name in PROBABILITIES else RELATIVE
            what = f"{before['model']}: {name}"
            assert bool(row[name]) == bool(value), what
            if value:
                wanted = pytest.approx(float(value), rel=tolerance, abs=0.0)
                assert float(row[name]) == wanted, what
