"""Lines that fit a terminal: broken between words, and never within something that is copied.

Invariant: what is not written to a terminal stays as it is, and no path, link or command gets a line break.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, TextIO

from click import unstyle

from ...protocol.text_summary import text_width

__all__ = ["fitted", "wrapped"]

NARROWEST: Final = 40
"""Columns. In a narrower terminal whole words do not help."""
_INDENT: Final = re.compile(r"\A *(?:- )?")
_NAME: Final = re.compile(r"(?:[^:]{1,60}|(?:\d+ of \d+, )?\S*(?:[/\\]|\.\w).*?):(?= )")
"""What a line is about, such as the path of a clip, which may hold blanks."""
_UNIT: Final = re.compile(
    r"`[^`]+`\S*"
    r"|'[^']+'\S*"
    r'|"[^"]+"\S*'
    r"|(?:ochy|pip install|ffmpeg) .+"  # a command ends with its line
    r"|(?:/|\w:\\).*?(?:$|:(?= ))"  # a path that is not quoted ends with its line, or before a colon
    r"|\S+"
)
"""What stays on one line."""


def fitted(text: str, stream: TextIO, *, used: int = 0) -> str:
    """The text as it is written to a stream: wrapped if that is a terminal.

    `used` is how many columns of the first line are taken by something else.
    """
    columns = _columns(stream)
    if columns < NARROWEST or not text:
        return text
    first, *others = text.split("\n")
    return "\n".join((*wrapped(first, columns, used), *(part for line in others for part in wrapped(line, columns))))


def wrapped(line: str, columns: int, used: int = 0) -> Iterator[str]:
    """The line in as many lines as it takes; the others are indented as the first one is.

    A unit that fits no line begins where it is, and the terminal breaks it.
    """
    indent = _INDENT.findall(line)[0]
    begin, end, column = 0, len(indent), used + len(indent)
    for start, unit_end in _units(line, end):
        width = text_width(unstyle(line[end:unit_end]))
        if column + width > columns and text_width(unstyle(line[start:unit_end])) <= columns - len(indent):
            yield (" " * len(indent) if begin else "") + line[begin:end]
            begin, column, width = start, len(indent), text_width(unstyle(line[start:unit_end]))
        column, end = (column + width) % columns or columns, unit_end
    yield (" " * len(indent) if begin else "") + line[begin:]


def _units(line: str, start: int) -> Iterator[tuple[int, int]]:
    """Where the units of a line begin and end."""
    name = _NAME.match(line, start)
    if name is not None:
        yield name.span()
        start = name.end()
    yield from (unit.span() for unit in _UNIT.finditer(line, start))


def _columns(stream: TextIO) -> int:
    """The width of the terminal that a stream is; 0 for anything else."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        return 0
