"""Batches that are really killed: child processes, SIGKILL, a journal on the disk, an emulator on a socket."""

from __future__ import annotations

import sys

import pytest
from kills import campaigns

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")

KILLS = 50


def test_no_kill_costs_a_second_credit_or_a_paid_result() -> None:
    """Fifty kills at random moments, under faults: one credit for each clip, and every paid result comes home."""
    found = campaigns(KILLS)
    assert found.kills >= KILLS
    assert not found.wrong
    assert found.paid > found.clips * 0.7  # the faults leave some in doubt that were never charged
