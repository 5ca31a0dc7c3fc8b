"""The live display at the bottom of the terminal: all clips together, and a row for each that is under way.

Invariant: a bar may be wrong, but it never raises: percentages are missing, fall and exceed 100.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
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

from .terminal import LOCK, SHOWN, printable

__all__ = ["Bars", "cells", "clock", "seconds_left", "shortened"]

TICK: Final = 0.125
"""Seconds between drawings, whatever happens in between."""
STATE, RIGHT, GAP = 10, 18, 2
"""Cells of the columns behind the names, and between columns."""
LEAST_NAME, MOST_NAME, LEAST_BAR, MOST_BAR = 12, 40, 6, 40
SPARE: Final = 3
"""Cells at the end of a row that stay empty: a typed Ctrl-C shows there as ^C, and must not begin a new row."""
LONGEST_TIME: Final = len("10:00:00, 90 min left")

DOUBT, SENDING, SENT, ANALYZING, QUEUED = "looking up", "uploading", "sent", "analyzing", "queued"
_STATES: Final = {"pending": QUEUED}
"""What the vendor's words for a state are called here; others stay as they are."""
_ORDER: Final = (DOUBT, SENDING, SENT, ANALYZING, QUEUED)
"""Which clips are shown first where there is no room for all."""


# --- words ------------------------------------------------------------------------------------------


def cells(text: str) -> int:
    """How many cells a text takes at most: terminals differ in what they join to one letter."""
    return sum(map(_widest, text))


def _widest(letter: str) -> int:
    if letter == "\N{VARIATION SELECTOR-16}":
        return 1
    return max(cell_len(letter), 2 * (east_asian_width(letter) in "WF"))


def shortened(text: str, most: int) -> str:
    """The text in at most so many cells, cut out of its middle; an accent stays with its letter."""
    if cells(text) <= most:
        return text
    end = _within(text[::-1], (most - 1) // 2)
    while end and category(text[-end]) in ("Mn", "Me", "Sk"):
        end -= 1  # an accent, or the like, whose letter is cut off
    beginning = _within(text, most - 1 - cells(text[len(text) - end :]))
    return f"{text[:beginning]}…{text[len(text) - end :]}" if most > 0 else ""


def _within(letters: str, most: int) -> int:
    """How many letters from the first on fit into so many cells, marks behind the last included."""
    taken = 0
    for number, letter in enumerate(letters):
        taken += cells(letter)
        if taken > most:
            return number
    return len(letters)


def clock(seconds: float) -> str:
    """A time as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def seconds_left(seconds: float) -> str:
    """What a countdown shows."""
    return f"{max(0.0, seconds):.0f} s" if seconds < 100 else clock(seconds)


def _left(seconds: float) -> str:
    """About how long something takes; nothing finer than anybody can know."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.0f} {name} left"
    return f"{max(1.0, seconds):.0f} s left"


# --- rows -------------------------------------------------------------------------------------------


@frozen
class _Row:
    """One row: words, a bar where there is something to measure, and words."""

    left: str
    share: float | None
    bar: int
    """The width of the bar; 0 where there is no room."""
    right: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.left, end="", no_wrap=True)
        if self.bar and self.share is not None:
            yield ProgressBar(1.0, self.share, width=self.bar)
        elif self.bar:
            yield Text(" " * self.bar, end="")
        yield Text(f"{' ' * GAP if self.bar else ''}{self.right}".rstrip(), no_wrap=True)


@frozen
class _Widths:
    """How a row is divided. Where it is narrow the bar goes first, then the state; what stands behind is whole."""

    name: int
    state: int
    bar: int
    note: int
    """What a note may have instead of all that stands behind the name."""

    @classmethod
    def of(cls, row: int, clips: Sequence[_Clip]) -> _Widths:
        least = max((cells(each.name) for each in clips if each.whole), default=LEAST_NAME)
        room = row - SPARE - RIGHT - GAP
        state = STATE + GAP if room >= least + STATE + GAP else 0
        room -= state
        bar = min(MOST_BAR, (room - GAP) // 3, room - GAP - least)
        bar = bar if bar >= LEAST_BAR else 0
        name = min(MOST_NAME, max(1, room - (bar + GAP if bar else 0)))
        return cls(name, state, bar, row - SPARE - name - GAP)

    def named(self, name: str) -> str:
        name = shortened(name, self.name)
        return name + " " * (self.name - cells(name) + GAP)

    def row(self, name: str, state: str, share: float | None, right: str) -> _Row:
        state = state[:STATE].ljust(self.state) if self.state else ""
        return _Row(self.named(name) + state, share, self.bar, right)


@define(eq=False)
class _Clip:
    name: str
    whole: bool = False
    """Whether the name is an id, which is of no use if it is cut."""
    state: str = SENDING
    since: float = field(factory=monotonic)
    """When this state began."""
    share: float | None = None
    sent: int = 0
    note: str = ""
    """What there is to say instead of a bar."""
    until: float | None = None
    """When the last lookup of its start is due."""

    def enter(self, state: str) -> None:
        if state != self.state:
            self.state, self.since, self.share, self.note = state, monotonic(), None, ""

    def row(self, widths: _Widths) -> _Row:
        if self.note:
            left = "" if self.until is None else f", {seconds_left(self.until - monotonic())} left"
            note, safe = f"{self.note}{left}", "; Ctrl-C is safe"
            note += safe if len(note + safe) <= widths.note else ""
            return _Row(widths.named(self.name), None, 0, note)
        return widths.row(self.name, self.state, self.share, self._right())

    def _right(self) -> str:
        seconds = monotonic() - self.since
        if self.state in (QUEUED, SENT):
            return f"waiting {clock(seconds)}"
        if self.share is None:
            return clock(seconds)
        speed = f"{decimal(int(self.sent / seconds))}/s" if self.state == SENDING and seconds > TICK else ""
        return f"{self.share * 100:3.0f} %  {speed}"


# --- the display ------------------------------------------------------------------------------------


@define(eq=False)
class Bars:
    """A row for each clip under way, and one for all where their number is known."""

    total: int | None = None
    _console: Console = field(factory=lambda: Console(stderr=True))
    _clips: dict[str, _Clip] = field(factory=dict)
    """By label."""
    _labels: dict[str, str] = field(factory=dict)
    """By analysis id."""
    _done: int = 0
    _seen_through: int = 0
    """Clips that ended and were seen under way: what the time left is estimated from."""
    _words: str = ""
    _passing: tuple[float, str] = (0.0, "")
    _began: float = field(factory=monotonic)
    _live: Live | None = field(default=None, init=False)
    _drawn: float = field(default=0.0, init=False)
    _over: threading.Event = field(factory=threading.Event, init=False)
    _ticker: threading.Thread | None = field(default=None, init=False)

    # What is to be seen.

    def overall(self, done: int, words: str) -> None:
        """So many clips have come to an end; the words say what was spent."""
        self._done, self._words = done, words

    def passing(self, words: str, seconds: float) -> None:
        """Words that are true for so many seconds only."""
        self._passing = monotonic() + seconds, words

    def uploading(self, clip: str, sent: int, total: int) -> None:
        """Bytes went."""
        it = self._clip(clip)
        if sent < it.sent or it.state != SENDING:
            it.since = monotonic()  # an attempt began anew
        it.enter(SENT if sent >= total else SENDING)
        it.sent, it.share = sent, sent / total if 0 < sent < total else None

    def watched(self, clip: str, analysis_id: str) -> None:
        """The upload, if there was one, is over, and the analysis goes on."""
        self._labels[analysis_id] = clip
        self._clip(clip).enter(QUEUED)

    def analyzing(self, analysis_id: str, status: str, percentage: float | None) -> None:
        """A look showed this."""
        it = self._clip(self._labels.get(analysis_id, analysis_id), whole=analysis_id not in self._labels)
        it.enter(_STATES.get(status, printable(status)))
        it.share = None if percentage is None or it.state == QUEUED else min(1.0, max(0.0, percentage / 100))

    def doubted(self, clip: str, words: str, left: float | None = None) -> None:
        """Its start is looked up for so many more seconds, and that is what there is to say of it."""
        it = self._clip(clip)
        it.enter(DOUBT)
        it.note, it.until = words, None if left is None else monotonic() + left

    def forget(self, clip: str | None, analysis_id: str | None) -> None:
        """Takes away the rows of what has ended."""
        label = self._labels.pop(analysis_id or "", None)
        found = [self._clips.pop(each, None) for each in {clip, analysis_id, label} if each is not None]
        self._seen_through += any(found)

    def _clip(self, label: str, *, whole: bool = False) -> _Clip:
        return self._clips.setdefault(label, _Clip(printable(PurePath(label).name), whole))

    # How it is drawn.

    def start(self) -> None:
        """Shows the bars, and draws them again and again."""
        self._ticker = threading.Thread(target=self._tick, name="ochy bars", daemon=True)
        with LOCK:
            SHOWN.append(self)
            self.show()
        self._ticker.start()

    def stop(self) -> None:
        """Takes them off the terminal, for good."""
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
        with LOCK:
            SHOWN.remove(self)
            self.hide()

    def hide(self) -> None:
        """Takes them off the terminal until they are shown again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def show(self) -> None:
        """Draws them, unless that was done a moment ago: then the next tick does."""
        if self._live is not None or monotonic() - self._drawn < TICK:
            return
        # A new one each time: one that is started again goes up by its old height, over what was told meanwhile.
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
            # Else a process that is killed would leave a terminal without a cursor.
            self._console.show_cursor(True)
        self._drawn = monotonic()

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            with LOCK:
                if self not in SHOWN:
                    return
                try:
                    self.show() if self._live is None else self._live.refresh()
                except OSError:
                    return  # the terminal is gone; whoever tells something next learns of it
                self._drawn = monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Half of the screen is left to what lasts.
        yield from self.rows(options.max_width, max(1, options.size.height // 2))

    def rows(self, width: int, most: int) -> Iterator[_Row | Text]:
        """At most so many rows."""
        clips, rows = sorted((*self._clips.values(),), key=_rank), list[_Row | Text]()
        if self.total is not None:
            rows.append(self._for_all(width - SPARE))
        until, words = self._passing
        if words and monotonic() < until:
            rows.append(Text(shortened(words, width - SPARE), no_wrap=True))
        room = most - len(rows)
        shown = clips if len(clips) <= room else clips[: max(0, room - 1)]
        widths = _Widths.of(width, shown)
        yield from rows[:most]
        yield from (clip.row(widths) for clip in shown)
        if len(shown) < len(clips) and room > 0:
            yield Text(shortened(_more(clips[len(shown) :]), width - SPARE), no_wrap=True)

    def _for_all(self, width: int) -> _Row:
        seconds = monotonic() - self._began
        right = ", ".join(filter(None, (clock(seconds), self._time_left(seconds))))
        left = f"{self._done} of {self.total} clip{'' if self.total == 1 else 's'}"
        whole = ", ".join(filter(None, (left, self._words)))
        left = (whole if len(whole) + GAP + LONGEST_TIME <= width else left) + " " * GAP
        bar = min(MOST_BAR, width - len(left) - GAP - LONGEST_TIME)
        share = self._done / self.total if self.total else 1.0
        return _Row(left, min(1.0, share), bar if bar >= LEAST_BAR else 0, right)

    def _time_left(self, seconds: float) -> str:
        """From the work that was seen done; nothing before a first clip has come to its end."""
        if not self._seen_through or self.total is None or self._done >= self.total:
            return ""
        begun = sum(each.share or 0.0 for each in (*self._clips.values(),) if each.state == ANALYZING)
        return _left(seconds * max(0.0, self.total - self._done - begun) / (self._seen_through + begun))


def _rank(clip: _Clip) -> int:
    return _ORDER.index(clip.state) if clip.state in _ORDER else _ORDER.index(ANALYZING)


def _more(clips: Sequence[_Clip]) -> str:
    counts = Counter(each.state for each in clips)
    return f"+ {len(clips)} more: {', '.join(f'{count} {state}' for state, count in counts.items())}"
