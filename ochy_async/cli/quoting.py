"""Commands as they can be pasted into a shell.

Invariant: exact. What a terminal cannot show is written as escapes, and no word is taken for an
option that is none.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

__all__ = ["Command", "command_line"]

Part = tuple[str, ...]


@frozen
class Command:
    """A command as it was typed, and as it can be typed again with a change."""

    name: Part
    """Such as `ochy analyze`."""
    words: Part
    """What was typed behind it."""
    valued: frozenset[str] = frozenset()
    """The options that take a value."""

    def __str__(self) -> str:
        return command_line(*self.name, *self.words)

    def without(self, option: str) -> Command:
        """The command without an option, and its value if it takes one."""
        options, operands = self._parts()
        kept = [part for part in options if _named(part) != option]
        return evolve(self, words=_joined(kept, operands))

    def with_value(self, option: str, value: str) -> Command:
        """The command with an option set to a value."""
        options, operands = self._parts()
        changed = [(option, value) if _named(part) == option else part for part in options]
        if (option, value) not in changed:
            changed.insert(0, (option, value))
        return evolve(self, words=_joined(changed, operands))

    def with_flag(self, option: str) -> Command:
        """The command with an option that takes no value."""
        return evolve(self, words=(option, *self.without(option).words))

    def _parts(self) -> tuple[list[Part], Part]:
        """Options with their values, and words among them, each by itself; then all from `--` on."""
        parts: list[Part] = []
        words = iter(self.words)
        for word in words:
            if word == "--":
                return parts, (word, *words)
            parts.append((word, *_next(words)) if word in self.valued else (word,))
        return parts, ()


def _named(part: Part) -> str:
    return part[0].partition("=")[0]


def _next(words: Iterator[str]) -> Part:
    value = next(words, None)
    return () if value is None else (value,)


def _joined(parts: Sequence[Part], operands: Part) -> Part:
    return (*(word for part in parts for word in part), *operands)


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
