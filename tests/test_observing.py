"""An observer sees every event and operation, in a tree, and cannot disturb the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from attrs import define, field

from ochy_async import AnalysisFailed, Analyzed, OchySession, Retry, SideView, UncertainStart, WaitTimeout
from ochy_async.emulator import DisconnectAfter, FaultPlan, FaultRule, Respond, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import NotFound, Phase
from ochy_async.events import AnalysisStarted, Event
from ochy_async.observing import (
    AttemptOperation,
    BatchOperation,
    ClipOperation,
    Ended,
    Observation,
    Observer,
    Operation,
    StartOperation,
    WaitOperation,
)
from ochy_async.protocol.analysis import results_call
from ochy_async.protocol.analysis_list import list_call
from ochy_async.protocol.call import custom_call
from ochy_async.protocol.routes import RESULTS, START
from ochy_async.protocol.subjects import get_subject_call
from ochy_async.tracking import track
from tests.conftest import CLIP, Recorded, direct_session, world

_current: ContextVar[Seen | None] = ContextVar("seen", default=None)


@define(eq=False)
class Seen(Observation):
    """An operation with its end, and the operations that it caused."""

    operation: Operation
    ends: list[Ended] = field(factory=list)
    children: list[Seen] = field(factory=list)
    _tokens: list[Any] = field(factory=list)

    def __enter__(self) -> object:
        self._tokens.append(_current.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _current.reset(self._tokens.pop())

    def end(self, ended: Ended) -> None:
        self.ends.append(ended)

    def lines(self, depth: int = 0) -> Iterator[str]:
        (ended,) = self.ends
        yield f"{'  ' * depth}{type(self.operation).__name__.removesuffix('Operation')}: {ended.outcome}"
        for child in self.children:
            yield from child.lines(depth + 1)


@define(eq=False)
class Witness(Observer):
    """Keeps everything that it sees."""

    roots: list[Seen] = field(factory=list)
    events: list[Event] = field(factory=list)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def operation(self, operation: Operation) -> Observation:
        seen, parent = Seen(operation), _current.get()
        (self.roots if parent is None else parent.children).append(seen)
        return seen

    @property
    def tree(self) -> list[str]:
        assert _current.get() is None, "an operation is active in the caller's task"
        return [line for root in self.roots for line in root.lines()]

    def ended(self, kind: type[Operation]) -> Ended:
        """The end of the only operation of a kind."""
        (found,) = [each for root in self.roots for each in _all(root) if isinstance(each.operation, kind)]
        (ended,) = found.ends
        return ended


def _all(seen: Seen) -> Iterator[Seen]:
    yield seen
    for child in seen.children:
        yield from _all(child)


def test_an_analysis_is_a_start_and_a_wait_with_their_attempts() -> None:
    """A retried start has an attempt for each try, and a wait one for each poll. Each says why it was made."""

    async def scenario() -> None:
        witness, faults = Witness(), FaultPlan([FaultRule(str(START), Respond(429))])
        async with direct_session(world(analysis_seconds=(8.0, 8.0)), faults, telemetry=witness) as ochy:
            await ochy.analyze(CLIP, SideView(), label="somebody.mp4")
        polls = witness.tree.count("  Attempt: answered") - 2
        assert witness.tree == [
            "Start: accepted",
            *["  Attempt: answered"] * 2,
            "Wait: success",
            *["  Attempt: answered"] * polls,
        ]
        start, wait = witness.roots
        attempts = [each.operation for each in (*start.children, *wait.children)]
        assert all(isinstance(each, AttemptOperation) for each in attempts)
        assert [getattr(each, "number", 0) for each in attempts] == [1, 2, *[1] * polls]
        assert [getattr(each, "cause", 0) for each in attempts] == [None, None, "first", *["scheduled"] * (polls - 1)]
        assert start.children[0].ends[0].status == 429
        assert (start.ends[0].spent, start.ends[0].analysis_id) == (1, wait.operation.analysis_id)  # type: ignore[union-attr]
        assert wait.ends[0].seconds == pytest.approx(8, abs=4)
        assert AnalysisStarted in {type(event) for event in witness.events}
        assert "somebody" not in "".join(map(repr, [each.operation for root in witness.roots for each in _all(root)]))

    in_virtual_time(scenario())


def test_an_uncertain_start_ends_as_uncertain() -> None:
    """Its attempt says how far the request got."""

    async def scenario() -> None:
        witness, faults = Witness(), FaultPlan([FaultRule(str(START), DisconnectAfter())])
        async with direct_session(world(), faults, telemetry=witness) as ochy:
            with pytest.raises(UncertainStart):
                await ochy.start(CLIP, SideView())
        assert witness.tree == ["Start: uncertain", "  Attempt: error"]
        assert witness.ended(AttemptOperation).phase is Phase.COMPLETE
        assert witness.ended(StartOperation) == Ended(
            outcome="uncertain", error="ochy_async.errors.UncertainStart", spent=0
        )

    in_virtual_time(scenario())


def test_a_wait_ends_as_it_ended() -> None:
    """A wait tells a failed analysis, a timeout, an error, a cancellation and a caller who left apart."""

    async def scenario() -> None:
        async def ended(way: Any, **settings: Any) -> str:
            witness = Witness()
            async with direct_session(world(**settings), telemetry=witness) as ochy:
                started = await ochy.start(CLIP, SideView())
                await way(ochy, started)
            assert witness.tree
            return witness.ended(WaitOperation).outcome

        async def fails(ochy: OchySession, started: Any) -> None:
            with pytest.raises(AnalysisFailed):
                await ochy.wait(started)

        async def times_out(ochy: OchySession, started: Any) -> None:
            with pytest.raises(WaitTimeout):
                await ochy.wait(started, timeout=5)

        async def is_unknown(ochy: OchySession, _: Any) -> None:
            with pytest.raises(NotFound):
                await ochy.wait("unknown")

        async def is_cancelled(ochy: OchySession, started: Any) -> None:
            with anyio.move_on_after(5):
                await ochy.wait(started)

        async def leaves(ochy: OchySession, started: Any) -> None:
            async with aclosing(ochy.watch(started)) as states:
                async for _ in states:
                    assert _current.get() is None
                    break

        assert await ended(fails, failure_rate=1.0) == "failed"
        assert await ended(times_out) == "timeout"
        assert await ended(is_unknown) == "error"
        assert await ended(is_cancelled) == "cancelled"
        assert await ended(leaves) == "left"

    in_virtual_time(scenario())


def test_a_batch_holds_its_clips_and_a_clip_its_operations() -> None:
    """The clips of a batch run in tasks of their own, and belong to the batch all the same."""

    async def scenario() -> None:
        witness = Witness()
        async with (
            direct_session(telemetry=witness) as ochy,
            ochy.batch(SideView()) as batch,
        ):
            outcomes = [each async for each in batch.run([CLIP, CLIP + b"2", CLIP])]
        assert all(isinstance(each, Analyzed) for each in outcomes)
        operations = [line for line in witness.tree if "Attempt" not in line]
        clip = ["  Clip: analyzed", "    Start: accepted", "    Wait: success"]
        assert operations[0] == "Batch: finished"
        assert sorted(operations[1:]) == sorted([*clip, *clip, "  Clip: analyzed"])  # the third is paid for already
        assert witness.ended(BatchOperation) == Ended(outcome="finished", spent=2, counts={"analyzed": 3})

    in_virtual_time(scenario())


class Broken(Observer):
    """Fails wherever it can."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_event(self, event: Event) -> None:  # noqa: ARG002 - as in the base class
        raise self.error

    def operation(self, operation: Operation) -> Observation:
        if isinstance(operation, WaitOperation):
            raise self.error

        outer = self.error

        class Fails(Observation):
            def __enter__(self) -> object:
                raise outer

            def __exit__(self, *_: object) -> bool:  # type: ignore[override]
                raise outer

            def end(self, ended: Ended) -> None:  # noqa: ARG002 - as in the base class
                raise outer

        return Fails()


@pytest.mark.parametrize("error", [ValueError, anyio.EndOfStream, pytest.param("cancelled", id="cancelled")])
def test_a_broken_observer_loses_nothing(error: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Its errors are logged. The analysis is started once, and its results are returned."""

    async def scenario() -> None:
        service, kind = Service(world()), anyio.get_cancelled_exc_class() if error == "cancelled" else error
        async with direct_session(service, telemetry=Broken(kind)) as ochy:
            await ochy.analyze(CLIP, SideView())
            async with ochy.batch(SideView()) as batch:
                outcomes = [each async for each in batch.run([CLIP + b"2"])]
        assert [each.word for each in outcomes] == ["analyzed"]
        assert len(service.ledger) == 2

    in_virtual_time(scenario())
    for name in ("AttemptOperation", "StartOperation", "WaitOperation", "ClipOperation", "AnalysisStarted"):
        assert f"the observer failed on {name}" in caplog.text


def test_an_observer_cannot_swallow_an_error() -> None:
    """Whatever its `__exit__` returns, the error of the operation is raised."""

    class Swallows(Observation):
        def __exit__(self, *_: object) -> bool:  # type: ignore[override]
            return True

    class Swallower(Observer):
        def operation(self, operation: Operation) -> Observation:  # noqa: ARG002 - as in the base class
            return Swallows()

    async def scenario() -> None:
        faults = Recorded(FaultPlan([FaultRule(str(RESULTS), Respond(404), times=2)]))
        async with direct_session(faults=faults, telemetry=Swallower(), retry=Retry(attempts=1)) as ochy:
            with pytest.raises(NotFound):
                await ochy.status("unknown")
            with pytest.raises(NotFound):
                await ochy.wait("unknown")

    in_virtual_time(scenario())


ORIGIN = "https://partner-api.ochy-prod.com"


@pytest.mark.parametrize(
    ("call", "url", "route"),
    [
        (results_call("a1b2"), "/analysis/a1b2/results?apiKey=REDACTED", "/analysis/{analysis_id}/results"),
        (results_call("https://h/?sig=1"), "/analysis/REDACTED/results?apiKey=REDACTED", RESULTS.template),
        (get_subject_call("runner-7"), "/subjects/REDACTED?apiKey=REDACTED", "/subjects/{subject_id}"),
        (list_call("runner-7"), "/analysis/subjects/REDACTED?apiKey=REDACTED", "/analysis/subjects/{subject_id}"),
        (
            custom_call("GET", "/subjects", (("email", "runner@example.com"),), None),
            "/subjects?email=REDACTED&apiKey=REDACTED",
            "/subjects",
        ),
        (custom_call("GET", "/runner@example.com", (("name", "7"),), None), "/REDACTED?apiKey=REDACTED", None),
    ],
)
def test_the_url_of_an_attempt_names_no_runner_and_no_key(call: Any, url: str, route: str | None) -> None:
    """Only an analysis id that looks like an id is shown; other ids, values and unknown paths are redacted."""
    attempt = AttemptOperation.of(ORIGIN, call)
    assert (attempt.url, attempt.route) == (f"{ORIGIN}{url}", route)
    assert "runner" not in repr(attempt)


def test_credentials_in_an_origin_are_not_shown() -> None:
    """A transport of the caller's own may name an origin with a user and a password."""
    assert (
        AttemptOperation.of("https://user:secret@h:8443/api", list_call()).url
        == "https://h:8443/api/analysis?apiKey=REDACTED"
    )


def test_nothing_is_made_without_an_observer() -> None:
    """An operation is not even described where nobody observes."""

    def make() -> ClipOperation:
        raise AssertionError("nobody wants to know")

    with track(None, make) as tracked, tracked.active(), tracked.ending():
        tracked.end(lambda: Ended(outcome=str(make())))
