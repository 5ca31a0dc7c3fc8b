"""Analyzes a folder of clips with progress bars, and prints a table at the end.

    pip install 'ochy-async[video]' rich
    export OCHY_API_KEY=…
    python batch_with_progress.py clips --view side --height 1.75 --weight 68 --max-credits 100

Press Ctrl-C once to finish the clips under way and stop, again to stop immediately. Run the same command again to
continue: `clips.journal`, in the folder, remembers what was paid for. Exit codes: 0 if every clip was analyzed, 1 if
not, 2 if the settings are wrong, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column, Table

from ochy_async import Analyzed, BackView, Batch, Event, OchyError, OchySession, SideView
from ochy_async.batch.outcomes import Outcome
from ochy_async.events import AnalysisProgress, BytesSent, WatchStarted

VIDEO_TYPES: Final = (".mp4", ".mov", ".avi", ".webm")
MAX_NAME: Final = 30
"""Characters. The terminal prints ^C behind the last bar, and would begin a new line if that bar ended at the edge."""


class Bars:
    """One bar for all clips, and one for each clip under way."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._all = progress.add_task(f"0 of {total} clips", total=total)
        self._finished, self._total = 0, total
        self._bars: dict[str, TaskID] = {}
        self._clip_of: dict[str, str] = {}
        """The clip of each analysis."""

    def on_event(self, event: Event) -> None:
        """Draws what the session reports. Pass it to the session."""
        match event:
            case BytesSent(clip=clip, sent=sent, total=total):
                self._draw(clip, "uploading", sent / total)
            case WatchStarted(clip=clip, analysis_id=analysis_id):
                self._clip_of[analysis_id] = clip
                self._draw(clip, "analyzing", 0)
            case AnalysisProgress(analysis_id=analysis_id, percentage=percentage) if analysis_id in self._clip_of:
                self._draw(self._clip_of[analysis_id], "analyzing", (percentage or 0) / 100)
            case _:
                pass

    def _draw(self, clip: str, stage: str, share: float) -> None:
        if clip not in self._bars:
            self._bars[clip] = self._progress.add_task("", total=1)
        name = escape(Path(clip).name[:MAX_NAME])
        self._progress.update(self._bars[clip], description=f"  {name}: {stage}", completed=share)

    def finish(self, clip: str) -> None:
        """Removes the bar of a clip and counts it."""
        if clip in self._bars:
            self._progress.remove_task(self._bars.pop(clip))
        self._finished += 1
        text = f"{self._finished} of {self._total} clips"
        self._progress.update(self._all, description=text, completed=self._finished)


INTERRUPTED: Final = "It was interrupted. Run the same command again to continue."


def stop_on_ctrl_c(batch: Batch[Any, Any], console: Console) -> None:
    """Lets the first Ctrl-C stop the batch in order. The second one cancels the program, as asyncio does by itself."""
    loop, former = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)

    def stop() -> None:
        batch.stop(INTERRUPTED)
        console.print("Finishing the clips under way. Press Ctrl-C again to stop immediately.")

    def handle(*_: object) -> None:  # may run in the middle of anything, so the loop does the work
        signal.signal(signal.SIGINT, former)
        loop.call_soon_threadsafe(stop)

    signal.signal(signal.SIGINT, handle)


async def analyze(clips: list[Path], request: SideView | BackView, journal: Path, max_credits: int | None) -> int:
    """Analyzes the clips, prints a table, also if it is interrupted, and returns the exit code."""
    console, found = Console(), list[Outcome[Any, Any]]()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TaskProgressColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bars = Bars(progress, len(clips))
    # `tag_starts` makes the lookup of an interrupted start exact. It leaves a few subjects in the account.
    async with (
        OchySession(on_event=bars.on_event) as ochy,
        ochy.batch(request, journal=journal, max_credits=max_credits, tag_starts=True) as batch,
    ):
        stop_on_ctrl_c(batch, console)
        try:
            async with aclosing(batch.run(clips)) as outcomes:
                with progress:
                    async for outcome in outcomes:
                        found.append(outcome)
                        bars.finish(outcome.label)
        finally:
            console.print(table_of(found))
            console.print(str(batch.report), highlight=False, markup=False)
    if batch.report.stopped == INTERRUPTED:
        return 130
    return 0 if len(found) == len(clips) and all(isinstance(each, Analyzed) for each in found) else 1


def table_of(outcomes: list[Outcome[Any, Any]]) -> Table:
    """One row for each clip, in the order of the input."""
    table = Table("clip", "outcome", "score", Column("reason", overflow="fold"))
    for each in sorted(outcomes, key=lambda outcome: outcome.index):
        score = f"{each.results.total_score:.2f}" if isinstance(each, Analyzed) else ""
        table.add_row(escape(Path(each.label).name), each.word, score, escape(each.reason))
    return table


def main() -> int:
    """Reads the command line and runs the batch."""
    parser = argparse.ArgumentParser(description="Analyzes a folder of clips.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--view", choices=("side", "back"), default="side")
    parser.add_argument("--height", type=float, required=True, help="meters")
    parser.add_argument("--weight", type=float, required=True, help="kilograms")
    parser.add_argument("--max-credits", type=int, help="the most credits that all runs together may spend")
    given = parser.parse_args()
    view = BackView if given.view == "back" else SideView
    try:
        clips = sorted(each for each in given.folder.iterdir() if each.suffix.lower() in VIDEO_TYPES)
        request = view(height=given.height, weight=given.weight)
        return asyncio.run(analyze(clips, request, given.folder / "clips.journal", given.max_credits))
    except (OchyError, OSError) as error:  # the journal is in use, the key is missing, the folder does not exist, …
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "Stopped. Paid analyses continue on the server. Run the same command again to collect them.",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
