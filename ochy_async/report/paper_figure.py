"""Draws figures for papers with matplotlib: its object-oriented API, never pyplot.

Invariant: whatever the user's settings of matplotlib, the same content gives the same figure, and they stay as they
are. A text is never read as mathematics.
"""

from __future__ import annotations

import os
import textwrap
import unicodedata
from collections.abc import Generator, Iterator, Sequence, Set
from contextlib import contextmanager
from math import ceil
from threading import RLock
from typing import Any, Final

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from ..gait.joints import SIDES
from ..protocol.text_summary import count_of
from .analyses import plain
from .figure_content import FigureContent, Line, Panel

__all__ = ["PaperFigure", "drawn"]

_MM: Final = 1 / 25.4
_FONT: Final = "DejaVu Sans"
"""It comes with matplotlib, so every machine draws the same letters."""
_SIZE: Final = 8.0
_SMALL: Final = 6.0
_NARROWEST: Final = 55
"""mm that a panel needs beside another one."""
_FRAME: Final = 22
"""mm above and below the panels, for the legend and the small print."""
_PAGE: Final = 235
"""mm; the height of a page, which no figure exceeds."""
_LEAST: Final = 10
"""Degrees that every panel shows at least."""
_STYLE: Final[dict[Any, Any]] = {
    "font.family": [_FONT],
    "font.size": _SIZE,
    "axes.titlesize": _SIZE,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": _SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.xmargin": 0.0,
    "xtick.labelsize": _SIZE,
    "ytick.labelsize": _SIZE,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": _SIZE,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "legend.handlelength": 1.8,
    "text.parse_math": False,
    "svg.fonttype": "path",  # an SVG holds no fonts, so letters are outlines
    "svg.hashsalt": "ochy-async",
    "savefig.dpi": 300.0,
}
_UNDATED: Final = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""The metadata that keeps the time out of a file."""
_LOCK: Final = RLock()
"""Whoever holds it may change matplotlib's settings. They belong to the process, and a thread restores what it saw."""

# Colors of Okabe and Ito, which the color-blind tell apart. The blue is darkened, so that the two differ in gray.
_COLORS: Final = {"left": "#004c82", "right": "#d55e00"}
_STYLES: Final[dict[str, Any]] = {"left": "-", "right": (0, (4, 1.6))}
_SHADE: Final = "#e9e9e9"
_GRAY: Final = "#555555"
_SEVERAL: Final[tuple[Any, ...]] = ("-", (0, (4, 1.6)), (0, (4, 1.2, 1, 1.2)), (0, (1, 1.2)))
"""The styles of recordings that are compared, in turn."""
_VARIANTS: Final = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""They choose a form of the letter before them."""
_MOST_NAMED: Final = 8
"""Recordings that the legend names; of more it names the first and the last."""


class PaperFigure(Figure):
    """A figure whose files are the same for the same content, and hold their fonts."""

    font_type: int = 42
    """Of fonts in a PDF: 42 is TrueType, which can be searched and edited, and which journals ask for."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Saves the figure. See `matplotlib.figure.Figure.savefig`; by default with 300 dots per inch and no date."""
        with _settings():
            mpl.rcParams.update({"pdf.fonttype": self.font_type, "ps.fonttype": self.font_type})
            kind = options.get("format") or _ending(fname) or mpl.rcParams["savefig.format"]
            options["metadata"] = {**_UNDATED.get(str(kind).lower(), {}), **(options.get("metadata") or {})}
            super().savefig(fname, **options)


def _ending(fname: Any) -> str:
    return os.path.splitext(os.fspath(fname))[1][1:] if isinstance(fname, str | os.PathLike) else ""  # noqa: PTH122


@contextmanager
def _settings() -> Generator[None]:
    """matplotlib's own defaults with `_STYLE`, inside the block."""
    with _LOCK, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def drawn(content: FigureContent, width: float, title: str | None) -> PaperFigure:
    """Draws a figure that is `width` mm wide."""
    with _settings():
        columns = 1 if width < 2 * _NARROWEST else 2 if content.compared else _columns(len(content.panels), width)
        rows = ceil(len(content.panels) / columns)
        height = _FRAME + rows * min(0.62 * width / columns, (_PAGE - _FRAME) / rows)
        figure = PaperFigure(figsize=(width * _MM, height * _MM), layout="constrained")
        FigureCanvasAgg(figure)
        figure.set_layout_engine("constrained", w_pad=1.5 * _MM, h_pad=1 * _MM)
        scales = dict[str, Axes]()
        for place, panel in enumerate(content.panels):
            axes = figure.add_subplot(rows, columns, place + 1, sharey=scales.get(panel.angle))
            scales.setdefault(panel.angle, axes)
            _draw_panel(axes, panel, content)
            axes.set_ylabel("Angle (\N{DEGREE SIGN})" if place % columns == 0 else "")
            axes.set_xlabel(content.axis if place + columns >= len(content.panels) else "")
        figure.align_ylabels()
        _legend(figure, content, width, title)
        _small_print(figure, content.note, width)
        return figure


def _columns(panels: int, width: float) -> int:
    """How many panels are side by side, without a last row that is much emptier than the others."""
    return ceil(panels / ceil(panels / int(width // _NARROWEST)))


# --- panels -----------------------------------------------------------------------------------------


def _draw_panel(axes: Axes, panel: Panel, content: FigureContent) -> None:
    first, last = content.percent
    if content.stance is not None:
        axes.axvspan(first, first + 100 * content.stance, color=_SHADE, linewidth=0, zorder=0)
    for line in panel.lines:
        _draw_line(axes, line, content)
    _set_height(axes)
    axes.set_title(panel.title)
    axes.set_xlim(first, last)
    axes.set_xticks([first + (last - first) * part / 4 for part in range(5)])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=3))


def _set_height(axes: Axes) -> None:
    """Shows at least `_LEAST` degrees, so that noise does not fill a panel, and a line at 0 where that is inside."""
    low, high = axes.get_ylim()
    more = max(0.0, _LEAST - (high - low)) / 2
    axes.set_ylim(low - more, high + more)
    if low - more < 0 < high + more:
        axes.axhline(0, color=_GRAY, linewidth=0.5, zorder=1)


def _draw_line(axes: Axes, line: Line, content: FigureContent) -> None:
    first, last = content.percent
    along = [first + (last - first) * place / (len(line.mean) - 1) for place in range(len(line.mean))]
    color, style = _look(line, content)
    axes.plot(along, line.mean, color=color, linestyle=style, zorder=3)
    if line.deviation is not None:
        low, high = (
            [mean + sign * deviation for mean, deviation in zip(line.mean, line.deviation, strict=True)]
            for sign in (-1, 1)
        )
        axes.fill_between(along, low, high, color=color, alpha=0.22, linewidth=0, zorder=2)


def _look(line: Line, content: FigureContent) -> tuple[Any, Any]:
    """The color and the style of a line."""
    if not content.compared:
        return _COLORS[line.side], _STYLES[line.side]
    share = line.order / max(1, content.compared - 1)  # the first is the lightest
    return mpl.colormaps["cividis"](0.75 * (1 - share)), _SEVERAL[line.order % len(_SEVERAL)]


# --- texts ------------------------------------------------------------------------------------------


def _legend(figure: PaperFigure, content: FigureContent, width: float, title: str | None) -> None:
    """The keys above the panels, and the title above them."""
    keys = list(_keys(content))
    legend = figure.legend(handles=keys, loc="outside upper center", ncols=min(len(keys), 4 if width > 120 else 2))
    if title:
        families, shown = _in_known_fonts(plain(title))
        # Fonts for Chinese, Japanese and Korean often have outlines that Type 42 loses in silence. Type 3 holds all.
        figure.font_type = 42 if len(families) == 1 else 3
        weight = "bold" if len(families) == 1 else "normal"  # a missing weight would be logged
        legend.set_title(shown, FontProperties(family=families, size=_SIZE, weight=weight))
        _cut_to_width(figure, legend.get_title())


def _keys(content: FigureContent) -> Iterator[Line2D | Patch]:
    lines = [line for panel in content.panels for line in panel.lines]
    for order in _named(content.compared):
        color, style = _look(Line(side="", mean=(), order=order), content)
        yield Line2D([], [], color=color, linestyle=style, label=f"Recording {order + 1}")
    for side in () if content.compared else SIDES:
        if counts := [line.count for line in lines if line.side == side]:
            label = f"{side.capitalize()} ({_range(min(counts), max(counts), content.noun)})"
            yield Line2D([], [], color=_COLORS[side], linestyle=_STYLES[side], label=label)
    if content.stance is not None:
        yield Patch(color=_SHADE, label=f"Stance ({100 * content.stance:.0f} %)")


def _named(compared: int) -> Sequence[int]:
    """The recordings that the legend names: all, or of many the first and the last."""
    return range(compared) if compared <= _MOST_NAMED else (0, compared - 1)


def _range(fewest: int, most: int, noun: str) -> str:
    return f"{'' if fewest == most else f'{fewest:,} to '}{count_of(most, noun)}"


def _small_print(figure: Figure, note: str, width: float) -> None:
    letters = int(0.86 * width)  # a letter of 6 pt is 1.15 mm wide on average
    lines = textwrap.wrap(note, letters, break_on_hyphens=False)
    figure.supxlabel("\n".join(lines), x=1.5 / width, ha="left", fontsize=_SMALL, color=_GRAY)


def _cut_to_width(figure: Figure, text: Text) -> None:
    """Cuts a text that is wider than the figure."""
    canvas: Any = FigureCanvasAgg(figure)  # its stub has no types
    renderer, whole = canvas.get_renderer(), text.get_text()
    length = len(whole)
    while length > 1 and text.get_window_extent(renderer).width > 0.96 * figure.bbox.width:
        length = int(0.9 * length)
        text.set_text(f"{whole[:length]}…")


def _in_known_fonts(text: str) -> tuple[list[str], str]:
    """The fonts with the letters of a text, and the text with a mark for each letter that no installed font has.

    Letters without a shape, which join others, are left out: matplotlib draws each letter by itself.
    """
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf" and letter not in _VARIANTS)
    families, missing = [_FONT], {letter for letter in text if not letter.isspace()}
    missing -= _letters(font_manager.findfont(_FONT), missing)
    for entry in _other_fonts() if missing else ():
        if found := _letters(entry.fname, missing):
            families.append(entry.name)
            missing -= found
    return families, "".join("\N{REPLACEMENT CHARACTER}" if letter in missing else letter for letter in text)


def _other_fonts() -> list[Any]:
    """The installed fonts with upright letters of the regular weight."""
    regular = [each for each in font_manager.fontManager.ttflist if each.style == "normal" and each.weight == 400]
    return sorted(regular, key=lambda each: (not each.name.startswith("Noto Sans"), each.name, each.fname))


def _letters(path: str, wanted: Set[str]) -> set[str]:
    """Those of the wanted letters that a font has."""
    known = font_manager.get_font(path).get_charmap() if wanted else {}
    return {letter for letter in wanted if ord(letter) in known}
