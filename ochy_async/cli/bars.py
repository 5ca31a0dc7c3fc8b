"""Progress bars on stderr: all clips together, bytes of each upload, per cent of each analysis.

Law of this room: a bar may be wrong, but it never raises: percentages are missing, fall and exceed 100.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from .sheets import clean

__all__ = ["Bars"]

MOST_LINES: Final = 12
"""Lines for single clips that are shown at once; the others wait until there is room."""
SENDING: Final = "sending"


class _Told(ProgressColumn):
    """What stands behind a bar: a note, or per cent, with the speed of an upload."""

    def render(self, task: Task) -> Text:
        if task.fields.get("note"):
            return Text(str(task.fields["note"]))
        share = "" if task.total is None else f"{task.percentage:3.0f} %"
        speed = f", {decimal(int(task.speed))}/s" if task.description == SENDING and task.speed else ""
        return Text(share + speed)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.fields[who]}", markup=False),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Told(),
        console=Console(stderr=True),
        transient=True,
        # Results belong on stdout, which may be a file, and not where the bars are.
        redirect_stdout=False,
        redirect_stderr=False,
    )


@define(eq=False)
class Bars:
    """One line for each clip under way, and one for all where their number is known."""

    total: int | None = None
    _progress: Progress = field(factory=_progress)
    _tasks: dict[str, TaskID] = field(factory=dict)
    """By the clip's label while uploading, by analysis id afterwards."""
    _clips: dict[str, str] = field(factory=dict)
    """Labels by analysis id."""
    _all: TaskID | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.total is not None:
            self._all = self._progress.add_task("", total=self.total, who="all clips")

    def start(self) -> None:
        """Shows the bars."""
        self._progress.start()

    def stop(self) -> None:
        """Takes them off the terminal."""
        self._progress.stop()

    def overall(self, done: int, spent: int) -> None:
        """So many clips have come to an end, and so many credits are spent."""
        if self._all is not None:
            note = f"{done} of {self.total}, {spent} credits spent"
            self._progress.update(self._all, completed=done, note=note)

    def uploading(self, clip: str, sent: int, total: int) -> None:
        """Bytes went."""
        self._progress.update(self._task(clip, clip), description=SENDING, completed=sent, total=total)

    def watched(self, clip: str, analysis_id: str) -> None:
        """The upload, if there was one, is over, and the analysis goes on."""
        self.forget(clip, None)
        self._clips[analysis_id] = clip
        self.analysing(analysis_id, "pending", None)

    def analysing(self, analysis_id: str, status: str, percentage: float | None) -> None:
        """A look showed this."""
        task = self._task(analysis_id, self._clips.get(analysis_id, analysis_id))
        done = None if percentage is None else min(100.0, max(0.0, percentage))
        self._progress.update(task, description=status, completed=done, total=None if done is None else 100.0)

    def forget(self, clip: str | None, analysis_id: str | None) -> None:
        """Takes away the lines of what has ended."""
        for name in (clip, analysis_id):
            self._clips.pop(name or "", None)
            task = self._tasks.pop(name, None) if name is not None else None
            if task is not None:
                self._progress.remove_task(task)
        for task in [*self._tasks.values()][:MOST_LINES]:
            self._progress.update(task, visible=True)

    def _task(self, name: str, who: str) -> TaskID:
        if name not in self._tasks:
            visible = len(self._tasks) < MOST_LINES
            self._tasks[name] = self._progress.add_task("", total=None, who=clean(who), visible=visible)
        return self._tasks[name]
