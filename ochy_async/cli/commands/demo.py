"""`ochy demo`: a batch that is killed half-way and run again, with nothing at stake.

Invariant: it says before and after that nothing is real, the only server it knows is its own, and
where it kills is decided by what that server has charged, never by a clock.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any, Final

import anyio
import click
from attrs import define

from ...batch.engine import Batch
from ...batch.manifest import read_manifest
from ...emulator import Delay, Emulator, FaultPlan, FaultRule, Throttle, sample_clip
from ...emulator.sample_clips import Kind as Container
from ...emulator.video_rendering import render_video
from ...journal.sqlite.journal import SqliteJournal
from ...preflight.rules import PreflightLevel
from ...protocol.back_view import BackViewResults
from ...protocol.side_view import SideViewResults
from ...protocol.views import Results
from ...session import OchySession
from ..connection import KEY, KEY_FILE
from ..display.outcomes import Outcome
from ..display.reporter import draw, tell
from ..display.tables import NOTHING, Sheet, format_score, view_title
from ..display.terminal import amount
from ..exit_codes import Exit
from .emulator import ledger_sheet
from .journal import journal_sheet

__all__ = ["command"]

NOT_REAL: Final = (
    "Simulated results from the built-in emulator: do not base health or training\n"
    "decisions on them. No key is used and no credit is spent."
)
SPEED: Final = 10.0
"""Analyses of 10 to 30 s pass in 1 to 3 s."""
CLIP_BYTES: Final = 600_000
UPLOAD_RATE: Final = 2_000_000
"""Bytes per second, so that an upload can be watched."""
ANSWERED: Final = 4
LANES: Final = 2
"""Uploads at once: so many are charged and never answered, in the very moment that money is lost in."""
PATIENCE: Final = 30.0
"""Seconds for each run, far more than it needs."""

_HEADER: Final = ("file", "view", "height", "weight", "treadmill", "pace")
_RUNNERS: Final = (
    ("morning-run.mp4", "side", "1.78", "72", "", ""),
    ("club-400m.mov", "side", "1.65", "54", "", ""),
    ("belt-behind.webm", "back", "1.71", "63", "yes", "05:30"),
    ("belt-tempo.mp4", "side", "1.83", "80", "yes", "04:20"),
    ("trail-climb.avi", "side", "1.69", "60", "", ""),
    ("shop-visit.mov", "back", "1.60", "52", "", ""),
    ("hill-repeats.mp4", "side", "1.74", "66", "", ""),
    ("track-final.mov", "side", "1.88", "77", "", ""),
    ("easy-sunday.mp4", "back", "1.67", "58", "", ""),
    ("night-run.webm", "side", "1.72", "70", "", ""),
)


_KINDS: Final[Mapping[str, Container]] = {".mp4": "mp4", ".mov": "mov", ".avi": "avi", ".webm": "webm"}
_FILMS: Final = find_spec("av") is not None
_PREFLIGHT: Final[PreflightLevel] = "errors" if _FILMS else "off"


@click.command("demo")
def command() -> None:
    """Analyze ten generated clips with a built-in emulator, killed half-way. No key, no credit, some seconds."""
    click.echo(NOT_REAL)
    with tempfile.TemporaryDirectory(prefix="ochy-demo-") as name:
        code = anyio.run(_Demo(Path(name)).played)
    click.echo(NOT_REAL)
    click.get_current_context().exit(code)


def _emulator() -> Emulator:
    """The first starts are answered; then as many as go at once are charged and get no answer."""
    start, slow = "POST /analysis/start", Throttle(UPLOAD_RATE, side="upload")
    silence = FaultRule(start, Delay(2 * PATIENCE, after=True), times=LANES)
    rest = len(_RUNNERS) - ANSWERED - LANES
    return Emulator(
        faults=FaultPlan([FaultRule(start, slow, times=ANSWERED), silence, FaultRule(start, slow, times=rest)]),
        speed=SPEED,
    )


def _clip(seed: int, name: str, *, upright: bool) -> bytes:
    """A film of a running figure where there is PyAV to make one, else bytes that only look like a video."""
    kind = _KINDS[Path(name).suffix]
    if not _FILMS:
        return sample_clip(seed, kind=kind, size=CLIP_BYTES)
    width, height = (180, 320) if upright else (320, 180)
    return render_video(seed, kind=kind, view="back_view" if upright else "side_view", width=width, height=height)


@define(eq=False)
class _Demo:
    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "runners.csv"

    @property
    def journal(self) -> Path:
        return self.folder / "clips.journal"

    async def played(self) -> Exit:
        """All of it, in order."""
        self._film()
        async with _emulator() as emulator:
            click.echo(f"\n1. A batch of {len(_RUNNERS)} clips begins, told in plain lines:")
            click.echo(f"\n   {_COMMAND} \\\n      {' '.join(_PLAIN)}\n")
            if not await self._killed(emulator):
                return Exit.SOME_FAILED
            await self._show_journal()
            click.echo("\n2. The same command again looks up what the kill left in doubt, and buys the rest:")
            click.echo(f"\n   {_COMMAND}\n")
            if not await self._finished(emulator):
                return Exit.SOME_FAILED
            click.echo("\n3. And once more, from Python: all is there, so nothing is sent.\n")
            await self._show_results(emulator)
            draw(ledger_sheet(emulator.service.ledger, emulator.service.credits))
            return self._verdict(emulator)

    def _film(self) -> None:
        for seed, (name, view, *_, belt, _pace) in enumerate(_RUNNERS):
            (self.folder / name).write_bytes(_clip(seed, name, upright=view == "back" or belt == "yes"))
        with self.manifest.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((_HEADER, *_RUNNERS))

    async def _killed(self, emulator: Emulator) -> bool:
        """Runs the batch until half of it is charged, two of those without an answer, and kills it."""
        with anyio.move_on_after(PATIENCE), self._batch(emulator, *_PLAIN) as child:
            while len(emulator.service.ledger) < ANSWERED + LANES and child.poll() is None:  # noqa: ASYNC110 - a ledger calls nobody
                await anyio.sleep(0.02)
            child.kill()
            child.wait(PATIENCE)
        charged = len(emulator.service.ledger)
        if charged != ANSWERED + LANES:
            tell(f"ochy: the demo went wrong: {charged} credits were charged before the kill.")
            return False
        click.echo(f"\nKilled, with {charged} credits charged, {LANES} of them for starts whose answer never came.\n")
        return True

    async def _finished(self, emulator: Emulator) -> bool:
        code: int | None = None
        words = _PLAIN if amount().no_progress or amount().quiet else ()
        with anyio.move_on_after(PATIENCE), self._batch(emulator, *words) as child:
            while (code := child.poll()) is None:  # noqa: ASYNC110 - works on every system
                await anyio.sleep(0.02)
        if code != Exit.OK:
            tell(f"ochy: the demo went wrong: the second run ended with {code}.")
        return code == Exit.OK

    @contextmanager
    def _batch(self, emulator: Emulator, *words: str) -> Generator[subprocess.Popen[bytes]]:
        """The command line in a process of its own, which does not outlive the block."""
        env = {name: value for name, value in os.environ.items() if name != KEY_FILE}
        env |= {KEY: emulator.api_key, "OCHY_BASE_URL": emulator.url}
        env["PYTHONPATH"] = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
        command = [sys.executable, "-m", "ochy_async.cli", "analyze", *_WORDS, *words, "--interval", "0.2"]
        sys.stdout.flush()
        child = subprocess.Popen(command, cwd=self.folder, env=env, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
        try:
            yield child
        finally:
            child.kill()
            child.wait(PATIENCE)

    async def _show_journal(self) -> None:
        async with SqliteJournal(self.journal) as journal:
            entries = [each async for each in journal.entries()]
        sheet = journal_sheet("What the journal remembers", entries)
        rows = tuple((row[0], PurePath(row[1]).name, row[2]) for row in sheet.rows)
        draw(Sheet(sheet.title, sheet.columns[:3], rows, sheet.notes))

    async def _show_results(self, emulator: Emulator) -> None:
        before = len(emulator.service.requests)
        ended: dict[int, Outcome] = {}
        async with OchySession(emulator.api_key, base_url=emulator.url, preflight=_PREFLIGHT) as ochy:
            batch: Batch[Any, Any] = ochy.batch(journal=self.journal)
            async with batch, aclosing(batch.run(read_manifest(self.manifest))) as outcomes:
                async for each in outcomes:
                    ended[each.index] = Outcome.of(each)
        sent = len(emulator.service.requests) - before
        note = f"requests sent for this table: {sent}"
        draw(Sheet("Results", _COLUMNS, tuple(_rows(ended[index] for index in sorted(ended))), (note,)))

    def _verdict(self, emulator: Emulator) -> Exit:
        charges = [charge.sha256 for charge in emulator.service.ledger]
        once = len(charges) == len(set(charges)) == len(_RUNNERS)
        click.echo(f"{len(charges)} credits for {len(set(charges))} clips, over a kill and three runs.")
        return Exit.OK if once else Exit.SOME_FAILED


_WORDS: Final = (
    "runners.csv",
    "--journal",
    "clips.journal",
    "--tag-starts",
    "--uploads",
    str(LANES),
    *(() if _FILMS else ("--preflight", "off")),  # bytes that are no video would be refused
)
_COMMAND: Final = " ".join(("ochy", "analyze", *_WORDS))
_PLAIN: Final = ("--no-progress", "--verbose")
"""For the run that is killed: it cannot take bars off the terminal any more."""
_COLUMNS: Final = ("clip", "view", "score", "what stands out")


def _rows(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, ...]]:
    for each in outcomes:
        total = each.results.total_score if each.results is not None else None
        yield PurePath(each.who).name, view_title(each.view), format_score(total), _remark(each.results)


def _remark(results: Results | None) -> str:
    if isinstance(results, SideViewResults):
        styles = ", ".join(style.title or NOTHING for style in results.running_styles)
        return f"{results.foot.foot_strike_pattern or NOTHING} strike, {styles or NOTHING}"
    if isinstance(results, BackViewResults):
        legs = (results.pronation.left, results.pronation.right)
        return f"pronation {' / '.join(format_score(leg.score_number if leg is not None else None) for leg in legs)}"
    return NOTHING
