"""A small batch dies at every single step, and goes on: nothing is paid twice, and nothing is lost."""

from __future__ import annotations

import pytest
from attrs import evolve

from ochy_async import BackView, Concurrency, SideView
from ochy_async.emulator import DeliverySettings
from tests.conftest import world
from tests.support.simulation import Scenario, simulate

PLAIN = Scenario(
    seed=0,
    world=world(),
    clips=[(0, SideView()), (1, BackView()), (2, SideView())],
    tagged=False,
    concurrency=Concurrency(uploads=2, in_flight=3),
    conditions=["none"],
    crashes=[None],
)
DELIVERIES = DeliverySettings(loss_rate=0.3, duplicate_rate=0.3, shuffle_rate=0.3, forgeries_per_second=0.2)
SCENARIOS = {
    "plain": PLAIN,
    "the same clip twice": evolve(PLAIN, clips=[(0, SideView()), (1, SideView()), (0, SideView())]),
    "tagged": evolve(PLAIN, tagged=True),
    "tagged, one upload at a time": evolve(PLAIN, tagged=True, concurrency=Concurrency(uploads=1, in_flight=2)),
    "tagged, lists that lag": evolve(PLAIN, tagged=True, world=world(listing_lag=30.0)),
    "tagged, many faults": evolve(PLAIN, tagged=True, conditions=["many"], seed=7),
    "tagged, starts that arrive late": evolve(PLAIN, tagged=True, late=0.5, seed=3),
    "with webhooks": evolve(PLAIN, webhooks=True, world=world(deliveries=DELIVERIES)),
    "with webhooks, tagged, many faults": evolve(
        PLAIN, webhooks=True, world=world(deliveries=DELIVERIES), tagged=True, conditions=["many"], seed=7
    ),
    "with a limit": evolve(PLAIN, max_credits=2),
    "reopened": evolve(PLAIN, conditions=["none", "none"], reopens=[False, True]),
    "reopened, tagged": evolve(PLAIN, tagged=True, conditions=["none", "none"], reopens=[False, True]),
    "with a failing and a refused one": evolve(
        PLAIN, world=world(failing_clips={"1.mp4"}, too_long_clips={"2.mp4"}, charge_refused_uploads=True)
    ),
}
MIN_STEPS = 15
"""Three clips take at least as many steps; with fewer the test has missed some."""


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_batch_may_die_at_any_step(scenario: Scenario) -> None:
    """Before and after every change of the journal, before, during and after every request, at every delivery."""
    before: list[int | None] = [None] * (len(scenario.conditions) - 1)
    complete = simulate(evolve(scenario, crashes=[*before, None]))
    assert not complete.violations
    steps = complete.steps[len(before)]
    assert steps >= MIN_STEPS
    violations = {step: simulate(evolve(scenario, crashes=[*before, step])).violations for step in range(steps)}
    assert {step: found for step, found in violations.items() if found} == {}


def test_a_command_that_reopens_may_be_repeated_after_a_crash() -> None:
    """The same command again, after a crash at each step: it finishes what was begun, and buys each clip once more."""
    scenario = evolve(PLAIN, conditions=["none"] * 3, reopens=[False, True, True])
    steps = simulate(evolve(scenario, crashes=[None] * 3)).steps[1]
    simulations = [simulate(evolve(scenario, crashes=[None, step, None])) for step in range(steps)]
    assert [each.violations for each in simulations if each.violations] == []
    # If all outcomes were returned before the process died, the command was done, and the next one is a new one.
    charges: dict[int, int] = {}
    for each in simulations:
        charges[each.reopen_commands] = max(charges.get(each.reopen_commands, 0), len(each.service.ledger))
    assert charges == {1: 2 * len(scenario.clips), 2: 3 * len(scenario.clips)}


def test_a_batch_may_die_twice() -> None:
    """The process that goes on dies as well, at each of its steps."""
    scenario = evolve(PLAIN, tagged=True, conditions=["none", "none"])
    steps = simulate(evolve(scenario, crashes=[None, None])).steps[0]
    pairs = [(first, second) for first in range(0, steps, 3) for second in range(0, steps, 3)]
    violations = {pair: simulate(evolve(scenario, crashes=pair)).violations for pair in pairs}
    assert {pair: found for pair, found in violations.items() if found} == {}
