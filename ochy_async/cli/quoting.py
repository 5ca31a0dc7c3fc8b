"""Shell commands that can be pasted.

Invariant: pasting a command gives the program exactly the same words, whatever characters they contain.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

from attrs import evolve, frozen

__all__ = ["ShellCommand", "command_line"]

Words = tuple[str, ...]


@frozen
class ShellCommand:
    """A command as it was typed, which can be repeated with a change."""

    name: Words
    """Such as `ochy analyze`."""
    words: Words
    """What was typed after the name."""
    value_options: frozenset[str] = frozenset()
    """The options that take a value."""

    def __str__(self) -> str:
        return command_line(*self.name, *self.words)

    def without(self, option: str) -> ShellCommand:
        """The command without an option and its value."""
        options, operands = self._split()
        return evolve(self, words=_join([each for each in options if _option_name(each) != option], operands))

    def with_value(self, option: str, value: str) -> ShellCommand:
        """The command with an option set to a value."""
        options, operands = self._split()
        changed = [(option, value) if _option_name(each) == option else each for each in options]
        if (option, value) not in changed:
            changed.insert(0, (option, value))
        return evolve(self, words=_join(changed, operands))

    def with_flag(self, option: str) -> ShellCommand:
        """The command with an option that takes no value."""
        return evolve(self, words=(option, *self.without(option).words))

    def _split(self) -> tuple[list[Words], Words]:
        """Options with their values and single operands, then all words from `--` on."""
        groups: list[Words] = []
        words = iter(self.words)
        for word in words:
            if word == "--":
                return groups, (word, *words)
            groups.append((word, *_next_word(words)) if word in self.value_options else (word,))
        return groups, ()


def _option_name(group: Words) -> str:
    return group[0].partition("=")[0]


def _next_word(words: Iterator[str]) -> Words:
    value = next(words, None)
    return () if value is None else (value,)


def _join(groups: Sequence[Words], operands: Words) -> Words:
    return (*(word for group in groups for word in group), *operands)


def command_line(*words: str, operands: Sequence[str] = ()) -> str:
    """The command; `operands` come last, after a `--` where one of them looks like an option."""
    dashes = ["--"] if any(each.startswith("-") for each in operands) else []
    return " ".join(map(_quote, (*words, *dashes, *operands)))


def _quote(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # $'…' as bash, zsh and ksh read it, since file names may hold any bytes.
    return "$'" + "".join(map(_escape_byte, os.fsencode(word))) + "'"


def _escape_byte(byte: int) -> str:
    plain = 32 <= byte < 127 and byte not in b"'\\"
    return chr(byte) if plain else f"\\x{byte:02x}"
