"""A small batch dies at every single moment it has, and goes on: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import pytest
from attrs import evolve

from ochy_async import BackView, Concurrency, SideView
from tests.conftest import world
from tests.support.simulation import Scene, live

PLAIN = Scene(
    seed=0,
    world=world(),
    clips=[(0, SideView()), (1, BackView()), (2, SideView())],
    tagged=False,
    concurrency=Concurrency(uploads=2, in_flight=3),
    weather=["calm"],
    crashes=[None],
)
WALKS = {
    "plain": PLAIN,
    "the same clip twice": evolve(PLAIN, clips=[(0, SideView()), (1, SideView()), (0, SideView())]),
    "on lanes": evolve(PLAIN, tagged=True),
    "on lanes, one upload at a time": evolve(PLAIN, tagged=True, concurrency=Concurrency(uploads=1, in_flight=2)),
    "on lanes, lists that lag": evolve(PLAIN, tagged=True, world=world(listing_lag=30.0)),
    "on lanes, in bad weather": evolve(PLAIN, tagged=True, weather=["storm"], seed=7),
    "on lanes, starts that arrive late": evolve(PLAIN, tagged=True, late=0.5, seed=3),
    "with a limit": evolve(PLAIN, max_credits=2),
    "bought anew": evolve(PLAIN, weather=["calm", "calm"], again=[False, True]),
    "bought anew, on lanes": evolve(PLAIN, tagged=True, weather=["calm", "calm"], again=[False, True]),
    "with a failing and a refused one": evolve(
        PLAIN, world=world(failing_clips={"1.mp4"}, too_long_clips={"2.mp4"}, charge_refused_uploads=True)
    ),
}
LEAST = 15
"""Three clips have at least so many moments: a walk that is shorter has missed some."""


@pytest.mark.parametrize("scene", WALKS.values(), ids=WALKS)
def test_a_batch_may_die_at_any_moment(scene: Scene) -> None:
    """Before and after every change of the journal, before, inside and after every request."""
    before: list[int | None] = [None] * (len(scene.weather) - 1)
    whole = live(evolve(scene, crashes=[*before, None]))
    assert not whole.wrong
    moments = whole.moments[len(before)]
    assert moments >= LEAST
    wrong = {moment: live(evolve(scene, crashes=[*before, moment])).wrong for moment in range(moments)}
    assert {moment: found for moment, found in wrong.items() if found} == {}


def test_a_command_that_buys_anew_may_be_repeated_after_a_crash() -> None:
    """The very same command again, after each moment: it finishes what was begun, and buys each once more."""
    scene = evolve(PLAIN, weather=["calm"] * 3, again=[False, True, True])
    moments = live(evolve(scene, crashes=[None] * 3)).moments[1]
    lives = [live(evolve(scene, crashes=[None, moment, None])) for moment in range(moments)]
    assert [life.wrong for life in lives if life.wrong] == []
    # Where every end had been shown before the process died, the command was done, and was given anew.
    most = {life.words: max(len(each.service.ledger) for each in lives if each.words == life.words) for life in lives}
    assert most == {1: 2 * len(scene.clips), 2: 3 * len(scene.clips)}


def test_a_batch_may_die_twice() -> None:
    """The process that picks up the pieces dies as well, at every moment of its own."""
    scene = evolve(PLAIN, tagged=True, weather=["calm", "calm"])
    moments = live(evolve(scene, crashes=[None, None])).moments[0]
    pairs = [(first, second) for first in range(0, moments, 3) for second in range(0, moments, 3)]
    wrong = {pair: live(evolve(scene, crashes=pair)).wrong for pair in pairs}
    assert {pair: found for pair, found in wrong.items() if found} == {}
