"""The live progress display at the bottom of the terminal: a row for the batch, and one for each clip in progress.

Invariant: the display may be inexact, but it never raises: percentages may be missing, decrease or exceed 100.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import PurePath
from time import monotonic
from typing import Final
from unicodedata import category, east_asian_width

from attrs import define, field, frozen
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from ...protocol.text_summary import count_of, minutes_seconds, printable
from .terminal import ACTIVE_DISPLAYS, TERMINAL_LOCK

__all__ = ["ProgressDisplay", "cell_width", "format_countdown", "format_duration", "shorten"]

TICK: Final = 0.125
"""Seconds between drawings, however many events arrive."""
STATE, RIGHT, GAP = 10, 18, 2
"""Cells of the two columns after the names, and between columns."""
MIN_NAME, MAX_NAME, MIN_BAR, MAX_BAR = 12, 40, 6, 40
SPARE: Final = 3
"""Cells at the end of a row that stay empty: the terminal echoes Ctrl-C as ^C there, which must not start a new row."""
MAX_TIME: Final = len("10:00:00, 90 min left")

LOOKUP, UPLOADING, SENT, ANALYZING, QUEUED = "looking up", "uploading", "sent", "analyzing", "queued"
_STATES: Final = {"pending": QUEUED}
"""The display's names for the vendor's statuses. Other statuses are shown as they are."""
_ORDER: Final = (LOOKUP, UPLOADING, SENT, ANALYZING, QUEUED)
"""Which clips are shown first where not all of them fit."""


# --- text -------------------------------------------------------------------------------------------


def cell_width(text: str) -> int:
    """The most cells that a text takes: terminals differ in which characters they combine."""
    return sum(map(_max_cells, text))


def _max_cells(letter: str) -> int:
    if letter == "\N{VARIATION SELECTOR-16}":
        return 1
    return max(cell_len(letter), 2 * (east_asian_width(letter) in "WF"))


def shorten(text: str, width: int) -> str:
    """The text in at most `width` cells. Its middle is cut out, and an accent is never separated from its letter."""
    if cell_width(text) <= width:
        return text
    end = _fitting(text[::-1], (width - 1) // 2)
    while end and category(text[-end]) in ("Mn", "Me", "Sk"):
        end -= 1  # this mark belongs to a letter that is cut off
    start = _fitting(text, width - 1 - cell_width(text[len(text) - end :]))
    return f"{text[:start]}…{text[len(text) - end :]}" if width > 0 else ""


def _fitting(letters: str, width: int) -> int:
    """How many of the first letters fit into `width` cells, with the marks that follow the last of them."""
    used = 0
    for number, letter in enumerate(letters):
        used += cell_width(letter)
        if used > width:
            return number
    return len(letters)


def format_duration(seconds: float) -> str:
    """A duration as M:SS, or H:MM:SS from one hour on."""
    hours, rest = divmod(max(0, int(seconds)), 3600)
    text = minutes_seconds(timedelta(seconds=rest))
    return f"{hours}:{text}" if hours else text.removeprefix("0")


def format_countdown(seconds: float) -> str:
    """The time left until a known moment."""
    return f"{max(0.0, seconds):.0f} s" if seconds < 100 else format_duration(seconds)


def _format_estimate(seconds: float) -> str:
    """An estimated time left, in one unit: an estimate is no more precise than that."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.0f} {name} left"
    return f"{max(1.0, seconds):.0f} s left"


# --- rows -------------------------------------------------------------------------------------------


@frozen
class _ProgressRow:
    """One row: text, a progress bar if the share is known, and text."""

    left: str
    share: float | None
    bar: int
    """The width of the bar; 0 where there is no space for one."""
    right: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.left, end="", no_wrap=True)
        if self.bar and self.share is not None:
            yield ProgressBar(1.0, self.share, width=self.bar)
        elif self.bar:
            yield Text(" " * self.bar, end="")
        yield Text(f"{' ' * GAP if self.bar else ''}{self.right}".rstrip(), no_wrap=True)


@frozen
class _ColumnWidths:
    """The widths of a row's columns. A narrow row drops the bar first, then the state, and never the right column."""

    name: int
    state: int
    bar: int
    note: int
    """The width of a note, which replaces all columns after the name."""

    @classmethod
    def of(cls, row: int, clips: Sequence[_ClipProgress]) -> _ColumnWidths:
        least = max((cell_width(each.name) for each in clips if each.is_id), default=MIN_NAME)
        space = row - SPARE - RIGHT - GAP
        state = STATE + GAP if space >= least + STATE + GAP else 0
        space -= state
        bar = min(MAX_BAR, (space - GAP) // 3, space - GAP - least)
        bar = bar if bar >= MIN_BAR else 0
        name = min(MAX_NAME, max(1, space - (bar + GAP if bar else 0)))
        return cls(name, state, bar, row - SPARE - name - GAP)

    def pad_name(self, name: str) -> str:
        name = shorten(name, self.name)
        return name + " " * (self.name - cell_width(name) + GAP)

    def row(self, name: str, state: str, share: float | None, right: str) -> _ProgressRow:
        state = state[:STATE].ljust(self.state) if self.state else ""
        return _ProgressRow(self.pad_name(name) + state, share, self.bar, right)


@define(eq=False)
class _ClipProgress:
    name: str
    is_id: bool = False
    """Whether the name is an analysis id, which is useless if it is cut."""
    state: str = UPLOADING
    since: float = field(factory=monotonic)
    """When this state began."""
    share: float | None = None
    sent: int = 0
    note: str = ""
    """Text that is shown instead of a bar."""
    lookup_deadline: float | None = None
    """When the last lookup of its uncertain start is due."""

    def enter(self, state: str) -> None:
        if state != self.state:
            self.state, self.since, self.share, self.note = state, monotonic(), None, ""

    def row(self, widths: _ColumnWidths) -> _ProgressRow:
        if self.note:
            deadline = self.lookup_deadline
            left = "" if deadline is None else f", {format_countdown(deadline - monotonic())} left"
            note, safe = f"{self.note}{left}", "; Ctrl-C is safe"
            note += safe if len(note + safe) <= widths.note else ""
            return _ProgressRow(widths.pad_name(self.name), None, 0, note)
        return widths.row(self.name, self.state, self.share, self._right())

    def _right(self) -> str:
        seconds = monotonic() - self.since
        if self.state in (QUEUED, SENT):
            return f"waiting {format_duration(seconds)}"
        if self.share is None:
            return format_duration(seconds)
        speed = f"{decimal(int(self.sent / seconds))}/s" if self.state == UPLOADING and seconds > TICK else ""
        return f"{self.share * 100:3.0f} %  {speed}"


# --- the display ------------------------------------------------------------------------------------


@define(eq=False)
class ProgressDisplay:
    """A row for each clip in progress, and one for the batch where the number of clips is known."""

    total: int | None = None
    _console: Console = field(factory=lambda: Console(stderr=True))
    _clips: dict[str, _ClipProgress] = field(factory=dict)
    """By label."""
    _labels: dict[str, str] = field(factory=dict)
    """By analysis id."""
    _done: int = 0
    _done_here: int = 0
    """Finished clips that were shown in progress: the time left is estimated from them."""
    _spending: str = ""
    _notice: tuple[float, str] = (0.0, "")
    """A text, and until when it is shown."""
    _began: float = field(factory=monotonic)
    _live: Live | None = field(default=None, init=False)
    _drawn: float = field(default=0.0, init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)
    _ticker: threading.Thread | None = field(default=None, init=False)

    # What happened.

    def set_totals(self, done: int, spending: str) -> None:
        """Sets how many clips are finished, and the text about credits."""
        self._done, self._spending = done, spending

    def show_notice(self, text: str, seconds: float) -> None:
        """Shows a text for some seconds."""
        self._notice = monotonic() + seconds, text

    def upload_progress(self, label: str, sent: int, total: int) -> None:
        """Bytes of a clip were sent."""
        clip = self._clip(label)
        if sent < clip.sent or clip.state != UPLOADING:
            clip.since = monotonic()  # a new attempt began
        clip.enter(SENT if sent >= total else UPLOADING)
        clip.sent, clip.share = sent, sent / total if 0 < sent < total else None

    def analysis_started(self, label: str, analysis_id: str) -> None:
        """The analysis of a clip is known and is waited for."""
        self._labels[analysis_id] = label
        self._clip(label).enter(QUEUED)

    def analysis_progress(self, analysis_id: str, status: str, percentage: float | None) -> None:
        """A poll returned this status."""
        clip = self._clip(self._labels.get(analysis_id, analysis_id), is_id=analysis_id not in self._labels)
        clip.enter(_STATES.get(status, printable(status)))
        clip.share = None if percentage is None or clip.state == QUEUED else min(1.0, max(0.0, percentage / 100))

    def lookup_progress(self, label: str, note: str, left: float | None = None) -> None:
        """The uncertain start of a clip is being looked up, for at most `left` more seconds."""
        clip = self._clip(label)
        clip.enter(LOOKUP)
        clip.note, clip.lookup_deadline = note, None if left is None else monotonic() + left

    def remove(self, clip: str | None, analysis_id: str | None) -> None:
        """Removes the rows of a finished clip."""
        label = self._labels.pop(analysis_id or "", None)
        removed = [self._clips.pop(each, None) for each in {clip, analysis_id, label} if each is not None]
        self._done_here += any(removed)

    def _clip(self, label: str, *, is_id: bool = False) -> _ClipProgress:
        return self._clips.setdefault(label, _ClipProgress(printable(PurePath(label).name), is_id))

    # How it is drawn.

    def start(self) -> None:
        """Shows the display and redraws it periodically."""
        self._ticker = threading.Thread(target=self._tick, name="ochy progress", daemon=True)
        with TERMINAL_LOCK:
            ACTIVE_DISPLAYS.append(self)
            self.show()
        self._ticker.start()

    def stop(self) -> None:
        """Removes the display from the terminal for good."""
        self._stopped.set()
        if self._ticker is not None:
            self._ticker.join()
        with TERMINAL_LOCK:
            ACTIVE_DISPLAYS.remove(self)
            self.hide()

    def hide(self) -> None:
        """Removes the display from the terminal until it is shown again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def show(self) -> None:
        """Draws the display, unless it was drawn a moment ago: then the next tick draws it."""
        if self._live is not None or monotonic() - self._drawn < TICK:
            return
        # A new `Live` each time: one that is restarted moves up by its old height, over lines printed meanwhile.
        self._live = Live(
            get_renderable=lambda: self,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with self._console:
            self._live.start(refresh=True)
            # Otherwise a process that is killed would leave the terminal without a cursor.
            self._console.show_cursor(True)
        self._drawn = monotonic()

    def _tick(self) -> None:
        while not self._stopped.wait(TICK):
            with TERMINAL_LOCK:
                if self not in ACTIVE_DISPLAYS:
                    return
                try:
                    self.show() if self._live is None else self._live.refresh()
                except OSError:
                    return  # the terminal is gone; the next message to it raises the same error
                self._drawn = monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # At most half of the screen, so that messages stay visible.
        yield from self.rows(options.max_width, max(1, options.size.height // 2))

    def rows(self, width: int, limit: int) -> Iterator[_ProgressRow | Text]:
        """At most `limit` rows of the display."""
        clips, rows = sorted((*self._clips.values(),), key=_rank), list[_ProgressRow | Text]()
        if self.total is not None:
            rows.append(self._batch_row(width - SPARE))
        until, notice = self._notice
        if notice and monotonic() < until:
            rows.append(Text(shorten(notice, width - SPARE), no_wrap=True))
        space = limit - len(rows)
        shown = clips if len(clips) <= space else clips[: max(0, space - 1)]
        widths = _ColumnWidths.of(width, shown)
        yield from rows[:limit]
        yield from (clip.row(widths) for clip in shown)
        if len(shown) < len(clips) and space > 0:
            yield Text(shorten(_count_states(clips[len(shown) :]), width - SPARE), no_wrap=True)

    def _batch_row(self, width: int) -> _ProgressRow:
        seconds = monotonic() - self._began
        right = ", ".join(filter(None, (format_duration(seconds), self._time_left(seconds))))
        left = f"{self._done} of {count_of(self.total or 0, 'clip')}"
        long = ", ".join(filter(None, (left, self._spending)))
        left = (long if len(long) + GAP + MAX_TIME <= width else left) + " " * GAP
        bar = min(MAX_BAR, width - len(left) - GAP - MAX_TIME)
        share = self._done / self.total if self.total else 1.0
        return _ProgressRow(left, min(1.0, share), bar if bar >= MIN_BAR else 0, right)

    def _time_left(self, seconds: float) -> str:
        """Estimated from the clips that were finished here; empty before the first of them is."""
        if not self._done_here or self.total is None or self._done >= self.total:
            return ""
        partly = sum(each.share or 0.0 for each in (*self._clips.values(),) if each.state == ANALYZING)
        return _format_estimate(seconds * max(0.0, self.total - self._done - partly) / (self._done_here + partly))


def _rank(clip: _ClipProgress) -> int:
    return _ORDER.index(clip.state) if clip.state in _ORDER else _ORDER.index(ANALYZING)


def _count_states(clips: Sequence[_ClipProgress]) -> str:
    counts = Counter(each.state for each in clips)
    return f"+ {len(clips)} more: {', '.join(f'{count} {state}' for state, count in counts.items())}"
