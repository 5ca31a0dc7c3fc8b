"""Progress bars on stderr: bytes of each upload, per cent of each analysis.

Law of this room: a bar may be wrong, but it never raises: percentages are missing, fall and exceed 100.
"""

from __future__ import annotations

from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

__all__ = ["Bars"]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.fields[who]}", markup=False),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        console=Console(stderr=True),
        transient=True,
        # Results belong on stdout, which may be a file, and not where the bars are.
        redirect_stdout=False,
        redirect_stderr=False,
    )


@define(eq=False)
class Bars:
    """One line for each clip under way."""

    _progress: Progress = field(factory=_progress)
    _tasks: dict[str, TaskID] = field(factory=dict)
    """By the clip's label while uploading, by analysis id afterwards."""
    _clips: dict[str, str] = field(factory=dict)
    """Labels by analysis id."""

    def start(self) -> None:
        """Shows the bars."""
        self._progress.start()

    def stop(self) -> None:
        """Takes them off the terminal."""
        self._progress.stop()

    def uploading(self, clip: str, sent: int, total: int) -> None:
        """Bytes went."""
        self._progress.update(self._task(clip, clip), description="sending", completed=sent, total=total)

    def started(self, clip: str, analysis_id: str) -> None:
        """The upload is over and the analysis begins."""
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
            task = self._tasks.pop(name, None) if name is not None else None
            if task is not None:
                self._progress.remove_task(task)

    def _task(self, name: str, who: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task("", total=None, who=who)
        return self._tasks[name]
