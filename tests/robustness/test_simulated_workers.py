"""Two thousand worlds of several workers that are paused and killed, compared with the ledger."""

from __future__ import annotations

import pytest

from tests.support.simulation import shared_violations_of

WORLDS = 2_000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_no_world_of_several_workers_pays_twice_or_loses_a_result(first: int) -> None:
    """Whatever befalls whom: `python -m tests.support.simulation --workers SEED --verbose` simulates one again."""
    assert list(shared_violations_of(range(first, first + CHUNK))) == []
