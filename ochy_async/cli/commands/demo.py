"""`ochy demo`: a batch that is killed half-way and run again, against the built-in emulator, and a report of it.

Invariant: it states before and after that the results are simulated, connects to no server but its own, and kills the
batch at a number of charged credits, not at a time. Of its files only the report stays, and the clips if `--clips` asks
for them.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
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
from ...batch.outcomes import Analyzed, Outcome
from ...emulator import Delay, Emulator, FaultPlan, FaultRule, Throttle, sample_clip
from ...emulator.sample_clips import Container
from ...emulator.video_rendering import INSTALL, render_video
from ...errors import OchyError
from ...journal.sqlite.journal import SqliteJournal
from ...preflight.rules import PreflightLevel
from ...protocol.back_view import BackViewResults
from ...protocol.side_view import SideViewResults
from ...protocol.text_summary import NOTHING, format_score, printable
from ...protocol.views import Results, view_title
from ...report import missing_extra, write_report
from ...session import OchySession
from ..connection import KEY, KEY_FILE, SIMULATED
from ..display.journal import journal_table, ledger_table
from ..display.tables import TextTable, print_table
from ..display.terminal import print_message, verbosity
from ..display.wrapping import fitted
from ..exit_codes import ExitCode

__all__ = ["command"]

SPEED: Final = 10.0
"""Analyses of 10 to 30 s take 1 to 3 s."""
CLIP_BYTES: Final = 200_000
CLIP_SECONDS: Final = 3.0
"""Long enough for four strides of each leg."""
UPLOAD_RATE: Final = 1_000_000
"""Bytes per second, slow enough to watch an upload."""
ANSWERED: Final = 5
"""Starts that are answered before the batch is killed. The next one is charged and not answered."""
UPLOADS: Final = 1
"""With one upload at a time, no other start is without an answer when the batch is killed: it might stay uncertain."""
TIMEOUT: Final = 30.0
"""Seconds for each run, far more than it needs."""

_HEADER: Final = ("file", "view", "height", "weight", "treadmill", "pace", "subject")
_RUNNERS: Final = (
    ("morning-run.mp4", "side", "1.78", "72", "", "", ""),
    ("club-400m.mov", "side", "1.65", "54", "", "", ""),
    ("belt-behind.webm", "back", "1.71", "63", "yes", "05:30", ""),
    ("belt-tempo.mp4", "side", "1.83", "80", "yes", "04:20", ""),
    ("trail-climb.avi", "side", "1.69", "60", "", "", ""),
    ("shop-visit.mov", "back", "1.60", "52", "", "", ""),
    ("mia-january.mp4", "side", "1.74", "66", "", "", "Mia"),
    ("noah-january.mov", "side", "1.88", "77", "", "", "Noah"),
    ("mia-march.mp4", "side", "1.74", "66", "", "", "Mia"),
    ("noah-behind.mp4", "back", "1.88", "77", "", "", "Noah"),
    ("noah-march.mp4", "side", "1.88", "77", "", "", "Noah"),
    ("mia-may.webm", "side", "1.74", "66", "", "", "Mia"),
)
"""Those with a name come last: a start without a subject gets one of its own (`--tag-starts`), also the one that is
killed."""

_KINDS: Final[Mapping[str, Container]] = {".mp4": "mp4", ".mov": "mov", ".avi": "avi", ".webm": "webm"}
_FILMS: Final = find_spec("av") is not None
_PREFLIGHT: Final[PreflightLevel] = "errors" if _FILMS else "off"


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="ochy-demo",
    show_default=True,
    help="Folder for the report.",
)
@click.option(
    "--clips",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also leave the twelve clips and their manifest, runners.csv, in this folder, to try other commands with. "
    "Files that are there already stay as they are. Needs the extra video.",
)
def command(out: Path, clips: Path | None) -> None:
    """Analyze twelve generated clips with the built-in emulator, in a batch that is killed half-way and run again.

    Ends with a report: pages for the browser, in the folder of --out. Takes some seconds. Needs no key and spends no
    credit. The report needs the extra report; without it the demo works all the same.
    """
    if clips is not None and not _FILMS:
        raise click.UsageError(f"--clips: {INSTALL}")
    click.echo(SIMULATED)
    with tempfile.TemporaryDirectory(prefix="ochy-demo-") as name:
        demo = _Demo(Path(name))
        demo.write_clips()
        if clips is not None:
            _leave_clips(demo.folder, clips)
        code = anyio.run(demo.run)
        click.echo(SIMULATED)
        if code is ExitCode.OK:
            code = _report(demo.results, out)
    click.get_current_context().exit(code)


def _leave_clips(source: Path, folder: Path) -> None:
    """Copies the clips and their manifest. A file that is there already stays, since it may be the user's own."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in source.iterdir():
            if not (path := folder / each.name).exists():
                shutil.copyfile(each, path)
    except OSError as error:
        raise click.UsageError(f"--clips: {str(folder)!r} cannot be written: {error.strerror}") from None
    click.echo(f"\nThe clips and their manifest: {printable(str(folder / 'runners.csv'))}")


def _report(results: Path, out: Path) -> ExitCode:
    """Writes the report and prints its path alone on a line, or how to get one."""
    if missing := missing_extra():
        click.echo(fitted(f"\nThe demo can end with a report of these results as pages. {missing}", sys.stdout))
        return ExitCode.OK
    try:
        overview = write_report(results, out)
    except OchyError as error:
        print_message(f"ochy: the report of the demo was not written: {error} The option --out names another folder.")
        return ExitCode.SOME_FAILED
    click.echo(f"\n{_REPORT}\n\n{printable(str(overview.absolute()))}")
    return ExitCode.OK


def _emulator() -> Emulator:
    """Answers the first starts, and charges the next one without an answer."""
    start, slow = "POST /analysis/start", Throttle(UPLOAD_RATE, direction="upload")
    silence = FaultRule(start, Delay(2 * TIMEOUT, after=True), times=1)
    rest = len(_RUNNERS) - ANSWERED - 1
    return Emulator(
        faults=FaultPlan([FaultRule(start, slow, times=ANSWERED), silence, FaultRule(start, slow, times=rest)]),
        speed=SPEED,
    )


def _clip(seed: int, name: str, *, upright: bool) -> bytes:
    """A video of a running figure if PyAV is installed, otherwise bytes that only resemble a video."""
    kind = _KINDS[Path(name).suffix]
    if not _FILMS:
        return sample_clip(seed, container=kind, size=CLIP_BYTES)
    width, height = (180, 320) if upright else (320, 180)
    return render_video(
        seed,
        container=kind,
        view="back_view" if upright else "side_view",
        width=width,
        height=height,
        seconds=CLIP_SECONDS,
    )


@define(eq=False)
class _Demo:
    folder: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "runners.csv"

    @property
    def results(self) -> Path:
        return self.folder / _RESULTS

    @property
    def journal(self) -> Path:
        return self.results / "clips.journal"

    async def run(self) -> ExitCode:
        """All steps, in order."""
        async with _emulator() as emulator:
            click.echo(f"\n1. Start a batch of {len(_RUNNERS)} clips, shown as plain lines:")
            click.echo(f"\n{_shown(*_WORDS, *_PLAIN)}\n")
            if not await self._run_and_kill(emulator):
                return ExitCode.SOME_FAILED
            await self._print_journal()
            click.echo("\n2. Run the same command again. It looks up that start and buys the rest:")
            click.echo(f"\n{_shown(*_WORDS)}\n")
            if not await self._run_again(emulator):
                return ExitCode.SOME_FAILED
            click.echo("\n3. Run it a third time, from Python. All results are there, so nothing is sent.\n")
            await self._print_results(emulator)
            print_table(ledger_table(emulator.service.ledger, emulator.service.credits))
            return self._print_total(emulator)

    def write_clips(self) -> None:
        """Writes the clips and their manifest."""
        for seed, (name, view, _height, _weight, treadmill, *_) in enumerate(_RUNNERS):
            (self.folder / name).write_bytes(_clip(seed, name, upright=view == "back" or treadmill == "yes"))
        with self.manifest.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((_HEADER, *_RUNNERS))

    async def _run_and_kill(self, emulator: Emulator) -> bool:
        """Runs the batch until some starts are charged and answered and one is charged only, and kills it."""
        with anyio.move_on_after(TIMEOUT), self._batch(emulator, *_PLAIN) as child:
            while len(emulator.service.ledger) <= ANSWERED and child.poll() is None:  # noqa: ASYNC110 - a ledger has no event to wait for
                await anyio.sleep(0.02)
            child.kill()
            child.wait(TIMEOUT)
        charged = len(emulator.service.ledger)
        if charged != ANSWERED + 1:
            print_message(f"ochy: the demo failed: {charged} credits were charged before the kill.")
            return False
        click.echo(f"\nKilled, with {charged} credits charged, the last of them for a start without an answer.\n")
        return True

    async def _run_again(self, emulator: Emulator) -> bool:
        code: int | None = None
        words = _PLAIN if verbosity().no_progress or verbosity().quiet else ()
        with anyio.move_on_after(TIMEOUT), self._batch(emulator, *words) as child:
            while (code := child.poll()) is None:  # noqa: ASYNC110 - works on every system
                await anyio.sleep(0.02)
        if code != ExitCode.OK:
            print_message(f"ochy: the demo failed: the second run ended with exit code {code}.")
        return code == ExitCode.OK

    @contextmanager
    def _batch(self, emulator: Emulator, *words: str) -> Generator[subprocess.Popen[bytes]]:
        """The command line in a process of its own, which is killed at the end of the block."""
        env = {name: value for name, value in os.environ.items() if name != KEY_FILE}
        env |= {KEY: emulator.api_key, "OCHY_BASE_URL": emulator.url}
        env["PYTHONPATH"] = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
        command = [sys.executable, "-m", "ochy_async.cli", "analyze", *" ".join((*_WORDS, *words)).split()]
        command += ["--interval", "0.2"]
        sys.stdout.flush()
        child = subprocess.Popen(command, cwd=self.folder, env=env, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
        try:
            yield child
        finally:
            child.kill()
            child.wait(TIMEOUT)

    async def _print_journal(self) -> None:
        async with SqliteJournal(self.journal) as journal:
            entries = [each async for each in journal.entries()]
        table = journal_table("The journal after the kill", entries)
        rows = tuple((row[0], PurePath(row[1]).name, row[2]) for row in table.rows)
        print_table(TextTable(table.title, table.columns[:3], rows, table.notes))

    async def _print_results(self, emulator: Emulator) -> None:
        before = len(emulator.service.requests)
        async with OchySession(emulator.api_key, base_url=emulator.url, preflight=_PREFLIGHT) as ochy:
            batch: Batch[Any, Any] = ochy.batch(journal=self.journal)
            async with batch:
                clips = await batch.resolve_subjects(read_manifest(self.manifest), create=True)
                async with aclosing(batch.run(clips)) as outcomes:
                    finished = sorted([each async for each in outcomes], key=lambda each: each.index)
        sent = len(emulator.service.requests) - before
        print_table(TextTable("Results", _COLUMNS, tuple(_rows(finished)), (f"requests sent for this table: {sent}",)))

    def _print_total(self, emulator: Emulator) -> ExitCode:
        charges = [charge.sha256 for charge in emulator.service.ledger]
        once = len(charges) == len(set(charges)) == len(_RUNNERS)
        click.echo(f"{len(charges)} credits for {len(set(charges))} clips, in three runs and despite the kill.")
        return ExitCode.OK if once else ExitCode.SOME_FAILED


_RESULTS: Final = "results"
_WORDS: Final = (
    "runners.csv",
    f"--out {_RESULTS}",
    "--keep raw-data",
    "--subjects create",
    "--tag-starts",
    f"--uploads {UPLOADS}",
    *(() if _FILMS else ("--preflight off",)),  # the check would refuse bytes that are no video
)
_REPORT: Final = (
    "The report of these results is a page for the browser. Of your own clips,\n"
    "`ochy analyze … --out results --report` writes one. Open this file:"
)
_PLAIN: Final = ("--no-progress", "--verbose")
"""For the run that is killed, which could not remove a live display from the terminal."""
_COLUMNS: Final = ("clip", "view", "score", "findings")


def _shown(*words: str) -> str:
    """The command as one would type it on a narrow terminal, with no option parted from its value."""
    command = " ".join(each.replace(" ", "\N{NO-BREAK SPACE}") for each in ("ochy analyze", *words))
    lines = textwrap.wrap(command, 70, subsequent_indent="   ", break_on_hyphens=False, break_long_words=False)
    return textwrap.indent(" \\\n".join(lines), "   ").replace("\N{NO-BREAK SPACE}", " ")


def _rows(outcomes: Iterable[Outcome[Any, Any]]) -> Iterator[tuple[str, ...]]:
    for each in outcomes:
        results = each.results if isinstance(each, Analyzed) else None
        total = results.total_score if results is not None else None
        yield PurePath(each.label).name, view_title(each.request.view), format_score(total), _findings(results)


def _findings(results: Results | None) -> str:
    if isinstance(results, SideViewResults):
        styles = ", ".join(style.title or NOTHING for style in results.running_styles)
        return f"{results.foot.foot_strike_pattern or NOTHING} strike, {styles or NOTHING}"
    if isinstance(results, BackViewResults):
        legs = (results.pronation.left, results.pronation.right)
        return f"pronation {' / '.join(format_score(leg.score_number if leg is not None else None) for leg in legs)}"
    return NOTHING
