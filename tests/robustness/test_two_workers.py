"""A worker is killed or paused at every single moment while another one has the same clips: none is paid twice."""

from __future__ import annotations

import pytest
from attrs import evolve

from ochy_async import BackView, Concurrency, SideView
from ochy_async.emulator import EmulatorSettings
from ochy_async.journal.contract import LEASE, Ceilings
from tests.support.simulation import SharedScenario, SharedWorld, simulate_shared
from tests.support.simulation.pausing import Strike
from tests.support.simulation.shared_scenario import Life, WorkerPlan

ONE_AT_A_TIME = Concurrency(uploads=1, in_flight=1)
FIRST = WorkerPlan(clips=(0, 1), lives=(Life(),))
SECOND = WorkerPlan(clips=(0, 1), lives=(Life(waits=True),))
PLAIN = SharedScenario(
    seed=0,
    world=EmulatorSettings(seed=0, analysis_seconds=(5.0, 5.0)),
    clips=[(0, SideView()), (1, BackView())],
    workers=(FIRST, SECOND),
)
TENDING = WorkerPlan(clips=(0, 1), lives=(Life(waits=True, tends=True), Life()))
SCENARIOS = {
    "plain": PLAIN,
    "at the same time": evolve(PLAIN, workers=(FIRST, FIRST)),
    "one clip at a time": evolve(
        PLAIN,
        workers=(evolve(FIRST, concurrency=ONE_AT_A_TIME), evolve(SECOND, clips=(1, 0), concurrency=ONE_AT_A_TIME)),
    ),
    "tagged": evolve(PLAIN, tagged=True),
    "tagged, lists that lag": evolve(PLAIN, tagged=True, world=evolve(PLAIN.world, listing_lag=40.0)),
    "with a limit": evolve(PLAIN, max_credits=1),
    "with ceilings": evolve(PLAIN, ceilings=Ceilings(uploads=1, polls_per_second=1.0)),
    "the other one tends": evolve(PLAIN, workers=(FIRST, TENDING), tagged=True),
}
STRIKES = {"killed": None, "paused for a moment": LEASE / 4, "paused past the lease": 2.5 * LEASE}
MIN_MOMENTS = 40
"""Two clips have at least as many moments; with fewer the test has missed some."""


def struck(scenario: SharedScenario, moment: int, seconds: float | None) -> SharedWorld:
    """The world in which the first worker is struck at that moment."""
    first, *others = scenario.workers
    life = evolve(first.lives[0], strikes=(Strike(seconds=seconds, counted="moments", after=moment),))
    return simulate_shared(evolve(scenario, workers=(evolve(first, lives=(life,)), *others)))


@pytest.mark.parametrize("seconds", STRIKES.values(), ids=STRIKES)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_another_worker_goes_on_whatever_befalls_one(scenario: SharedScenario, seconds: float | None) -> None:
    """Before and after every call of the journal, before and after every request, at every chunk of an upload."""
    complete = simulate_shared(scenario)
    assert complete.judge.violations == []
    moments = complete.processes[0].moments
    assert moments >= MIN_MOMENTS
    violations = {moment: struck(scenario, moment, seconds).judge.violations for moment in range(1, moments + 1)}
    assert {moment: found for moment, found in violations.items() if found} == {}
