"""Lists the public API: a section for each module, with one line for each public name and its signature.

`python -m tests.support.public_api` writes the list anew, with all extras installed. A name or signature that changes
is a change for whoever upgrades, so it belongs into the changelog, too.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

LIST: Final = Path(__file__).parents[1] / "public_api.txt"
MODULES: Final = (
    "ochy_async",
    "ochy_async.batch.outcomes",
    "ochy_async.batch.resolve",
    "ochy_async.dask",
    "ochy_async.emulator",
    "ochy_async.engines",
    "ochy_async.errors",
    "ochy_async.event_log",
    "ochy_async.events",
    "ochy_async.gait",
    "ochy_async.journal.contract",
    "ochy_async.object_store",
    "ochy_async.observing",
    "ochy_async.report",
    "ochy_async.tables",
    "ochy_async.telemetry",
    "ochy_async.webhooks.bus",
)
"""The modules that users import from: the documentation imports from no other."""


def listed_api() -> dict[str, list[str]]:
    """The list as it is stored: the lines of each module."""
    sections = LIST.read_text(encoding="utf-8").removeprefix("# ").split("\n\n# ")
    return {lines[0]: lines[1:] for lines in map(str.splitlines, sections)}


def module_api(name: str) -> Iterator[str]:
    """The lines of a module."""
    module = importlib.import_module(name)
    for public in sorted(module.__all__):
        yield from _lines(public, getattr(module, public))


def _lines(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield f"{name}{_bases(value)}"
        yield from _members(name, value)
    elif inspect.isroutine(value):
        yield f"{name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _bases(kind: type) -> str:
    names = [base.__name__ for base in kind.__bases__ if base is not object and base.__name__[0] != "_"]
    return f"({', '.join(names)})" if names else ""


def _members(name: str, kind: type) -> Iterator[str]:
    """What a class has of its own, or from a base class that is private."""
    if issubclass(kind, enum.Enum):
        yield from (f"{name}.{member.name} = {member.value!r}" for member in kind)
        return
    own = attrs.fields_dict(kind) if attrs.has(kind) else {}
    # As written: `attrs.resolve_types`, which some test may have called, changes the types of the fields.
    written = {key: each for base in reversed(kind.__mro__) for key, each in inspect.get_annotations(base).items()}
    for field in own.values():
        if not field.name.startswith("_"):
            yield f"{name}.{field.name}: {_text(written.get(field.name, field.type))}"
    for member, annotation in _instance_attributes(kind):
        yield f"{name}.{member}: {annotation}"
    for member, value in sorted(_public(kind).items()):
        if member in own:
            continue
        if isinstance(value, property):
            yield f"{name}.{member} -> {_text(inspect.get_annotations(value.fget or member.__class__).get('return'))}"
        elif inspect.isroutine(value):
            yield f"{name}.{member}{_signature(getattr(kind, member))}"
        elif not inspect.isdatadescriptor(value):
            yield f"{name}.{member}: {type(value).__name__}"


def _instance_attributes(kind: type) -> Iterator[tuple[str, str]]:
    """The public attributes that a class of its own sets in `__init__` with a type, and their types."""
    init = vars(kind).get("__init__")
    if attrs.has(kind) or not inspect.isfunction(init) or not kind.__module__.startswith("ochy_async"):
        return
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute) and node.target.attr[0] != "_":
            yield node.target.attr, ast.unparse(node.annotation)


def _public(kind: type) -> dict[str, Any]:
    """The public members, and `__init__` where it is written by hand."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("ochy_async"):
            found.update(vars(base))
    by_hand = not attrs.has(kind)
    return {name: each for name, each in found.items() if name[0] != "_" or (by_hand and name == "__init__")}


def _signature(call: Callable[..., Any]) -> str:
    signature = inspect.signature(call)
    written = ", ".join(map(_parameter, _starred(signature)))
    returned = "" if signature.return_annotation is signature.empty else f" -> {_text(signature.return_annotation)}"
    return f"({written}){returned}{' async' if inspect.iscoroutinefunction(call) else ''}"


def _starred(signature: inspect.Signature) -> Iterator[inspect.Parameter | None]:
    """The parameters, with None before the first one that takes a keyword only."""
    star = True
    for each in signature.parameters.values():
        if star and each.kind is each.KEYWORD_ONLY:
            yield None
        star = star and each.kind not in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        yield each


def _parameter(parameter: inspect.Parameter | None) -> str:
    if parameter is None:
        return "*"
    stars = (
        "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
    )
    default = "" if parameter.default is parameter.empty else "=…"
    typed = "" if parameter.annotation is parameter.empty else f": {_text(parameter.annotation)}"
    return f"{stars}{parameter.name}{typed}{default}"


def _text(annotation: Any) -> str:
    """An annotation as it is written, or without its module."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", repr(annotation))
    return re.sub(r"\s+", " ", text)


def main() -> None:
    """Writes the list."""
    sections = ("\n".join((f"# {module}", *module_api(module))) for module in MODULES)
    LIST.write_text("\n\n".join(sections) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
