"""Tests of how an uncertain start is reconciled: candidates, unambiguous matches, and when to look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from attrs import evolve

from ochy_async.errors import InvalidRequest, StartAttempt
from ochy_async.policy.reconciliation import (
    MOST_CANDIDATES,
    AnalysesByTime,
    candidates_of,
    lookup_delays,
    may_matter,
    unambiguous_match,
)
from ochy_async.protocol.analysis_list import AnalysisList, ListedAnalysis

# --- candidates -----------------------------------------------------------------------------------

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
START = StartAttempt("a.mp4", "back_view", earliest=NOON, latest=NOON + timedelta(minutes=2), subject_id="s1")


def candidates(*listed: ListedAnalysis, start: StartAttempt = START, known: tuple[str, ...] = ()) -> list[str]:
    """The ids of the analyses that a start may have become."""
    return [each.analysis_id for each in candidates_of(start, AnalysisList(listed), known).candidates]


def test_every_possible_analysis_is_a_candidate() -> None:
    """Both an analysis without any facts and one with the same subject and time are possible."""
    assert candidates(
        ListedAnalysis(analysis_id="bare"),
        ListedAnalysis(analysis_id="same", subject_id="s1", created_at=NOON + timedelta(minutes=1)),
        ListedAnalysis(analysis_id="no subject", created_at=NOON),
    ) == ["bare", "same", "no subject"]


def test_a_batch_looks_at_the_first_candidates_only() -> None:
    """Where the account lists no times, every analysis is one; two say already that nothing is certain."""
    listed = (ListedAnalysis(analysis_id=f"a{number}") for number in range(200_000))
    found = candidates_of(START, listed, ("a0",), most=MOST_CANDIDATES).candidates
    assert [each.analysis_id for each in found] == [f"a{number}" for number in range(1, MOST_CANDIDATES + 1)]
    assert next(listed).analysis_id == f"a{MOST_CANDIDATES + 1}"


def test_an_impossible_analysis_is_no_candidate() -> None:
    """Known ones, those of another subject, and those of another time are impossible."""
    listed = (
        ListedAnalysis(analysis_id="known", subject_id="s1", created_at=NOON),
        ListedAnalysis(analysis_id="other", subject_id="s2", created_at=NOON),
        ListedAnalysis(analysis_id="early", subject_id="s1", created_at=NOON - timedelta(hours=1)),
        ListedAnalysis(analysis_id="late", subject_id="s1", created_at=NOON + timedelta(hours=1)),
    )
    assert candidates(*listed, known=("known",)) == []


def test_a_start_without_a_subject_has_no_linked_candidate() -> None:
    """A start without a subject did not become an analysis that has one."""
    start = evolve(START, subject_id=None)
    assert candidates(ListedAnalysis(analysis_id="linked", subject_id="s1"), start=start) == []


@pytest.mark.parametrize(("minutes", "possible"), [(-15, True), (-16, False), (17, True), (18, False)])
def test_clocks_may_differ_by_a_quarter_of_an_hour(minutes: int, possible: bool) -> None:
    """The server's clock may be fast or slow."""
    each = ListedAnalysis(analysis_id="a1", created_at=NOON + timedelta(minutes=minutes))
    assert candidates(each) == (["a1"] if possible else [])


def test_a_candidate_is_adopted_by_its_id() -> None:
    """Adopting returns what the start would have returned."""
    found = candidates_of(START, AnalysisList((ListedAnalysis(analysis_id="a1"),)), ())
    adopted = found.adopt("a1")
    assert (adopted.analysis_id, adopted.view, adopted.clip, adopted.subject_id) == ("a1", "back_view", "a.mp4", "s1")
    with pytest.raises(InvalidRequest, match="not among the candidates"):
        found.adopt("a2")


@pytest.mark.parametrize("minutes", [-16, -15, 0, 17, 18, None])
@pytest.mark.parametrize("known", [(), ("a1",)])
def test_no_candidate_is_dropped_before_it_is_read(minutes: int | None, known: tuple[str, ...]) -> None:
    """An item matters exactly if the analysis that is read from it is a candidate of a start that waits."""
    moment = None if minutes is None else NOON + timedelta(minutes=minutes)
    item = {"video_id": "a1", "created_at": moment and moment.isoformat()}
    read = ListedAnalysis(analysis_id="a1", created_at=moment)
    assert may_matter([START], known)(item) is bool(candidates(read, known=known))
    assert [each.analysis_id for each in AnalysesByTime.of([read]).near(START)] == candidates(read)
    early, late = (evolve(START, earliest=NOON + days, latest=NOON + days) for days in (-DAY, DAY))
    assert may_matter([late, START, early], known)(item) is may_matter([START], known)(item)


@pytest.mark.parametrize("days", [0.0, 0.25, 0.5, 1.0])
def test_items_between_the_times_of_two_starts_do_not_matter(days: float) -> None:
    """A doubt of yesterday beside one of today does not make all the analyses of the night matter."""
    starts = [START, evolve(START, earliest=NOON + DAY, latest=NOON + DAY), evolve(START, latest=NOON + DAY / 4)]
    item = {"video_id": "a1", "created_at": (NOON + days * DAY).isoformat()}
    assert may_matter(starts, ())(item) is (days != 0.5)


def test_analyses_are_found_by_their_time() -> None:
    """Those without a time come first; the others are in the order of their times."""
    times = [5, None, 1, 60, -60, 3]
    read = [
        ListedAnalysis(analysis_id=str(place), created_at=None if at is None else NOON + timedelta(minutes=at))
        for place, at in enumerate(times)
    ]
    assert [each.analysis_id for each in AnalysesByTime.of(read).near(START)] == ["1", "2", "5", "0"]


# --- unambiguous matches --------------------------------------------------------------------------

ATTEMPT = StartAttempt("run.mp4", "side_view", NOON, NOON + timedelta(seconds=20))


def listed(name: str, seconds: float | None = 10, view: str | None = "side_view") -> ListedAnalysis:
    moment = None if seconds is None else NOON + timedelta(seconds=seconds)
    return ListedAnalysis(analysis_id=name, created_at=moment, view=view)


LONG_AGO = evolve(ATTEMPT, earliest=NOON - timedelta(days=2), latest=NOON - timedelta(days=1))
MEANT: list[tuple[str, list[ListedAnalysis], list[StartAttempt], bool, str | None]] = [
    ("nothing is listed", [], [], False, None),
    ("nothing is listed with its own subject", [], [], True, None),
    ("exactly one", [listed("a")], [], False, "a"),
    ("exactly one with its own subject", [listed("a", None, None)], [], True, "a"),
    ("two", [listed("a"), listed("b")], [], False, None),
    ("two with its own subject", [listed("a"), listed("b")], [], True, None),
    ("one without a time", [listed("a", None)], [], False, None),
    ("one of the other view", [listed("a", view="back_view")], [], False, None),
    ("one without a view", [listed("a", view=None)], [], False, "a"),
    ("one of another time", [listed("a", 7200)], [], False, None),
    ("one of this time, one of another", [listed("a"), listed("b", 7200)], [], False, "a"),
    ("one that is known already, and another", [listed("known"), listed("a")], [], False, "a"),
    ("one, and another start at the same time", [listed("a")], [ATTEMPT], False, None),
    ("one, and another start of long ago", [listed("a")], [LONG_AGO], False, "a"),
    ("one with its own subject, and another start elsewhere", [listed("a")], [ATTEMPT], True, "a"),
]


@pytest.mark.parametrize(("what", "items", "others", "own", "meant"), MEANT, ids=[row[0] for row in MEANT])
def test_only_an_unambiguous_match_is_adopted(
    what: str, items: list[ListedAnalysis], others: list[StartAttempt], own: bool, meant: str | None
) -> None:
    """One candidate with a tagging subject; without, one that fits and that no other start explains."""
    known = {"known"}
    found = candidates_of(ATTEMPT, AnalysisList(tuple(items)), known)
    only = unambiguous_match(found, known, others, own_subject=own)
    assert (only and only.analysis_id) == meant, what


# --- lookups --------------------------------------------------------------------------------------


def test_lookups_become_rarer_and_end() -> None:
    """At once, then after 3 s, then at twice the age each; a start of yesterday is looked up once."""
    assert list(accumulate(lookup_delays(0.0))) == [3, 6, 12, 24, 48, 96]
    assert list(lookup_delays(20.0)) == [20, 40]
    assert not list(lookup_delays(60.0))
    assert not list(lookup_delays(86_400))
