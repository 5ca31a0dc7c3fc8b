"""`ochy demo`: the whole way of a clip, seen in seconds, with nothing at stake.

Law of this room: it says before and after that nothing is real, and the only server it knows is its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from typing import Any, Final

import click
from attrs import field, frozen

from ..emulator import Emulator, Rule, Script, Slow, sample_clip
from ..emulator.clips import Kind as Container
from ..events import Listener
from ..protocol.back_view import BackView, BackViewResults, Legs
from ..protocol.request import AnalysisRequest
from ..protocol.side_view import Metrics, SideView, SideViewCalculated, SideViewResults
from ..session import OchySession
from .account import QUICK
from .emulator import ledger_sheet
from .outcomes import Outcome
from .paper import draw, tell
from .run import Errand, Job, carry_out
from .sheets import NOTHING, Sheet, number, pace, score

__all__ = ["command"]

NOT_REAL: Final = (
    "Nothing here is real: an emulator on this machine makes the numbers up, and they are fit for nobody's body. "
    "No key is used and no credit is spent."
)
SPEED: Final = 10.0
"""Analyses of 10 to 30 s pass in 1 to 3 s."""
CLIP_BYTES: Final = 1_500_000
UPLOAD_RATE: Final = 2_500_000
"""Bytes per second, so that an upload can be watched."""
JOB: Final = Job(timeout=15, calculated=True, concurrency=3)


@frozen
class _Clip:
    name: str
    container: Container
    request: AnalysisRequest[Any, Any]


CLIPS: Final = (
    _Clip("morning-run.mp4", "mp4", SideView(height=1.78, weight=72)),
    _Clip("club-400m.mov", "mov", SideView(height=1.65, weight=54)),
    _Clip("belt-behind.webm", "webm", BackView(height=1.71, weight=63, treadmill=True, pace="05:30")),
    _Clip("belt-tempo.mp4", "mp4", SideView(height=1.83, weight=80, treadmill=True, pace="04:20")),
    _Clip("trail-climb.avi", "avi", SideView(height=1.69, weight=60)),
    _Clip("shop-visit.mov", "mov", BackView(height=1.60, weight=52)),
)


def _emulator() -> Emulator:
    slow = Rule("POST /analysis/start", Slow(UPLOAD_RATE, side="upload"), times=len(CLIPS))
    return Emulator(faults=Script([slow]), speed=SPEED)


@frozen
class _Stage:
    """The one place where the demo plays."""

    emulator: Emulator = field(factory=_emulator)
    made_up: bool = True

    @asynccontextmanager
    async def open(self, listener: Listener) -> AsyncGenerator[OchySession]:
        """A session with the emulator."""
        async with (
            self.emulator as emulator,
            OchySession(emulator.api_key, base_url=emulator.url, polling=QUICK, on_event=listener) as ochy,
        ):
            yield ochy


@click.command("demo")
def command() -> None:
    """Analyse six generated clips with a built-in emulator. Needs no key, spends nothing, takes some seconds."""
    click.echo(NOT_REAL)
    stage = _Stage()
    outcomes: dict[str, Outcome] = {}

    def keep(outcome: Outcome) -> None:
        name = _name(outcome)
        outcomes[name] = outcome
        tell(f"{name}: {outcome.kind.value.replace('_', ' ')}" + (f": {outcome.error}" if outcome.error else ""))

    with tempfile.TemporaryDirectory(prefix="ochy-demo-") as folder:
        code = carry_out(list(_errands(Path(folder))), JOB, stage, keep)
    _draw([outcomes[clip.name] for clip in CLIPS if clip.name in outcomes], stage.emulator)
    click.get_current_context().exit(code)


def _errands(folder: Path) -> Iterator[Errand]:
    for seed, clip in enumerate(CLIPS):
        path = folder / clip.name
        path.write_bytes(sample_clip(seed, kind=clip.container, size=CLIP_BYTES))
        yield Errand(str(path), clip.request, label=clip.name)


def _draw(outcomes: Sequence[Outcome], emulator: Emulator) -> None:
    draw(Sheet("Side view", _SIDE_COLUMNS, tuple(_side_rows(outcomes))))
    draw(Sheet("Back view, scores of left and right", _BACK_COLUMNS, tuple(_back_rows(outcomes))))
    draw(ledger_sheet(emulator.service.ledger, emulator.service.credits))
    click.echo(NOT_REAL)


_SIDE_COLUMNS: Final = ("clip", "score", "cadence", "speed", "pace", "ground contact", "foot strike", "style")
_BACK_COLUMNS: Final = ("clip", "score", "pronation", "knee adduction", "pelvic drop")


def _name(outcome: Outcome) -> str:
    return PurePath(outcome.clip or "").name


def _side_rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    for outcome in outcomes:
        results, calculated = outcome.results, outcome.calculated
        if not isinstance(results, SideViewResults):
            continue
        known = calculated.metrics if isinstance(calculated, SideViewCalculated) else None
        metrics = known or Metrics()
        yield (
            _name(outcome),
            score(results.total_score),
            number(metrics.cadence, "/min"),
            number(metrics.speed, "m/s", 2),
            pace(metrics.pace),
            number(metrics.ground_contact_time, "ms"),
            str(results.foot.foot_strike_pattern or NOTHING),
            ", ".join(style.title or NOTHING for style in results.running_styles),
        )


def _back_rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    for outcome in outcomes:
        results = outcome.results
        if isinstance(results, BackViewResults):
            parts = (results.pronation, results.knee_adduction, results.pelvic_drop)
            yield (_name(outcome), score(results.total_score), *map(_both, parts))


def _both(legs: Legs | None) -> str:
    sides = (legs.left, legs.right) if legs is not None else ()
    return " / ".join(score(leg.score_number if leg is not None else None) for leg in sides) or NOTHING
