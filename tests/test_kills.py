"""Batches that are killed and stopped: child processes, signals, a journal on the disk, an emulator on a socket."""

from __future__ import annotations

import sys

import pytest
from kills import campaigns, killed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")

KILLS = 50


def test_no_kill_costs_a_second_credit_or_a_paid_result() -> None:
    """Fifty kills at random moments, under faults: one credit for each clip, and every paid result comes home."""
    found = killed(KILLS)
    assert found.kills >= KILLS
    assert not found.wrong
    assert found.charges > found.distinct * 0.7  # the faults leave some in doubt that were never charged


def test_neither_chaos_nor_stops_cost_a_second_credit_or_a_paid_result() -> None:
    """A campaign of kills and stops through a proxy that breaks connections: one credit for each clip at most."""
    found = next(campaigns(clips=4, chaos=True))
    assert found.kills
    assert found.stops
    assert found.cuts
    assert not found.wrong
