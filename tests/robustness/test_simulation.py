"""Two thousand worlds: batches under faults and crashes, judged by the ledger."""

from __future__ import annotations

import pytest

from tests.support.simulation import faults_of

WORLDS = 2_000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_no_world_pays_twice_or_loses_a_result(first: int) -> None:
    """Whatever the faults, whenever it dies. `python -m tests.support.simulation SEED --verbose` plays one again."""
    assert list(faults_of(range(first, first + CHUNK))) == []
