"""The listings that pages ask for with `<!-- generated: NAME -->`, each made from the code."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from ochy_async import errors
from ochy_async.cli.app import ochy
from ochy_async.cli.display.terminal import display_options
from ochy_async.cli.exit_codes import MEANINGS, exit_code_of
from ochy_async.webhooks import bus  # one more class of errors

from .pages import ROOT

__all__ = ["LISTINGS", "error_classes"]

SCHEMA: Final = "ochy_async/batch/results.schema.json"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "".join(f"| {' | '.join(_cell(each) for each in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """The text of a cell. The builder shows a backslash in code as it is, and needs none there."""
    return re.sub(r"`[^`]*`|\|", lambda part: "\\|" if part[0] == "|" else part[0], " ".join(text.split()))


def _plain(text: str) -> str:
    """A text for people, so that Markdown shows it as it is."""
    return text.replace("*", "\\*").replace("<", "&lt;")


# --- errors -----------------------------------------------------------------------------------------


def error_classes(kind: type[errors.OchyError] = errors.OchyError, depth: int = 0) -> Iterator[tuple[int, type]]:
    """All classes of errors with their depth in the tree, each before those below it."""
    yield depth, kind
    for each in kind.__subclasses__():
        if each.__module__ in (errors.__name__, bus.__name__):
            yield from error_classes(each, depth + 1)


def _errors() -> str:
    """The tree of the module's docstring, then a section for each class."""
    tree = inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1]
    return f"```text\n{textwrap.dedent(tree)}\n```\n\n{''.join(_error(depth, kind) for depth, kind in error_classes())}"


def _error(depth: int, kind: type) -> str:
    """A section. Its anchor is the name of the class in lower case, as `OchyError.help` says."""
    title = f"{'#' * (depth + 2)} {kind.__name__} {{ #{kind.__name__.lower()} }}"
    return f"{title}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n\n"


def _exit_codes() -> str:
    kinds = [kind for _, kind in error_classes()]
    leads = {code: [f"`{kind.__name__}`" for kind in kinds if exit_code_of(kind()) is code] for code in MEANINGS}
    rows = ((str(int(code)), text, ", ".join(leads[code])) for code, text in sorted(MEANINGS.items()))
    order = ", ".join(str(int(code)) for code in MEANINGS)
    return f"{_table(('code', 'meaning', 'errors that lead to it'), rows)}\nThe order, most severe first: {order}.\n"


# --- the command line -------------------------------------------------------------------------------


def _commands() -> str:
    context = click.Context(ochy, info_name="ochy")
    options = _options(context, display_options())
    each = (ochy.get_command(context, name) for name in ochy.list_commands(context))
    sections = (
        _command(click.Context(command, info_name=command.name, parent=context), 2) for command in each if command
    )
    return f"## All commands\n\n{options}\n{''.join(sections)}"


def _command(context: click.Context, level: int) -> str:
    command = context.command
    usual = {name for option in display_options() for name in option.opts}
    own = [each for each in command.params if usual.isdisjoint(each.opts)]
    usage = command.get_usage(context).removeprefix("Usage: ")
    head = f"{'#' * level} {context.command_path}\n\n```text\n{usage}\n```\n\n{_help(command.help)}\n\n"
    below = sorted(command.commands.items()) if isinstance(command, click.Group) else []
    parts = (_command(click.Context(each, info_name=name, parent=context), level + 1) for name, each in below)
    return f"{head}{_options(context, own)}\n{_help(command.epilog)}\n\n{''.join(parts)}"


def _options(context: click.Context, options: list[Any]) -> str:
    records = filter(None, (each.get_help_record(context) for each in options if isinstance(each, click.Option)))
    rows = [(f"`{names.replace(' / ', '` / `')}`", _plain(text)) for names, text in records]
    return _table(("option", "meaning"), iter(rows)) if rows else ""


def _help(text: str | None) -> str:
    """The paragraphs of a help text; click marks those that it prints as they are with a line of their own."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(f"```text\n{each[2:]}\n```" if each.startswith("\b\n") else _plain(each) for each in paragraphs)


# --- records ----------------------------------------------------------------------------------------


def _record() -> str:
    schema = json.loads((ROOT / SCHEMA).read_text(encoding="utf-8"))
    return _table(("field", "type", "meaning"), _fields(schema["properties"], ""))


def _fields(properties: Mapping[str, Any], inside: str) -> Iterator[tuple[str, ...]]:
    for name, value in properties.items():
        yield f"`{inside}{name}`", _type(value), value.get("description", "")
        yield from _fields(value.get("properties", {}), f"{inside}{name}.")


def _type(value: Mapping[str, Any]) -> str:
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{each}`" if each is not None else "null" for each in value["enum"])
    kinds = value.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


LISTINGS: Final[Mapping[str, Callable[[], str]]] = {
    "commands": _commands,
    "errors": _errors,
    "exit codes": _exit_codes,
    "record": _record,
}
"""What makes each listing, as Markdown."""
