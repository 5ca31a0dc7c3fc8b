"""Two thousand worlds: batches with faults and crashes, compared with the ledger."""

from __future__ import annotations

import pytest

from tests.support.simulation import violations_of

WORLDS = 2_000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_no_world_pays_twice_or_loses_a_result(first: int) -> None:
    """Whatever the faults and crashes. `python -m tests.support.simulation SEED --verbose` simulates one again."""
    assert list(violations_of(range(first, first + CHUNK))) == []
