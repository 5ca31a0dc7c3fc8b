"""Commands as they can be pasted into a shell.

Law of this room: exact. What a terminal cannot show is written as escapes, and no word is taken for an
option that is none.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

__all__ = ["command_line"]


def command_line(*words: str, operands: Sequence[str] = ()) -> str:
    """The command; `operands` come last, after a `--` where one of them looks like an option."""
    dashes = ["--"] if any(each.startswith("-") for each in operands) else []
    return " ".join(map(_quoted, (*words, *dashes, *operands)))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # As bash, zsh and ksh read it; file names may be any bytes.
    return "$'" + "".join(map(_escaped, os.fsencode(word))) + "'"


def _escaped(byte: int) -> str:
    plain = 32 <= byte < 127 and byte not in b"'\\"
    return chr(byte) if plain else f"\\x{byte:02x}"
