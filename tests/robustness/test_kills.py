"""Batches that are killed and stopped: child processes, signals, a journal on the disk, an emulator on a socket."""

from __future__ import annotations

import sys

import pytest

from tests.support.kills import run_campaigns

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")

KILLS = 50


def test_no_kill_costs_a_second_credit_or_a_paid_result() -> None:
    """Fifty kills at random moments, under faults: one credit for each clip, and every paid result comes home."""
    found = run_campaigns(KILLS)
    assert found.kills >= KILLS
    assert not found.wrong
    assert found.charges > found.distinct * 0.7  # the faults leave some in doubt that were never charged


def test_neither_chaos_nor_stops_cost_a_second_credit_or_a_paid_result() -> None:
    """Kills and stops through a proxy that breaks connections cost one credit for each clip and lose no paid result."""
    found = run_campaigns(3, clips=4, chaos=True)
    assert not found.wrong
    assert found.kills >= 3
    assert found.stops >= 3
    assert found.charges
