"""What the reference shows of each class: an extension of griffe, which reads the code for mkdocstrings.

Each class shows what a user of it sees: its constructor, also where attrs writes it, and what it inherits, because its
base classes may have no page. How fields are made stays hidden.
"""
# griffe comes with the extra `docs`; the checkers of types run without it.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import griffe
from attrs import NOTHING, fields_dict, has

__all__ = ["PublicMembers"]

LONGEST_VALUE: Final = 60
"""Characters of a value that is shown."""
_TYPES: Final = (griffe.ExprBinOp, griffe.ExprSubscript)
_HIDDEN_BASE: Final = re.compile(r"_|Generic\b|.*\._")


class PublicMembers(griffe.Extension):
    """Changes all classes of a package once it is read."""

    def on_attribute(self, *, attr: Any, **_: Any) -> None:
        if attr.parent.is_module:
            _hide_long_value(attr)

    def on_package(self, *, pkg: Any, **_: Any) -> None:
        classes = list(_classes(pkg))
        for change in (_add_constructor, _add_inherited, _hide_internals):
            for each in classes:
                change(each)


def _classes(parent: Any) -> Iterator[Any]:
    for each in parent.members.values():
        if not each.is_alias and (each.is_module or each.is_class):
            if each.is_class:
                yield each
            yield from _classes(each)


# --- constructors -----------------------------------------------------------------------------------


def _add_constructor(kind: Any) -> None:
    """The constructor that attrs makes, unless a field is private: then only the package creates instances."""
    if "__init__" in kind.members or _attrs_call(kind) is None:
        return
    fields = {field.name: field for each in reversed([kind, *kind.mro()]) for field in _own_fields(each)}
    made = [field for field in fields.values() if _arguments(field.value).get("init") != "False"]
    if any(field.name.startswith("_") for field in made):
        return
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    parameters += sorted((_parameter(each) for each in made), key=lambda each: each.kind is _KEYWORD)
    init = griffe.Function("__init__", parameters=griffe.Parameters(*parameters), returns="None", parent=kind)
    kind.set_member("__init__", init)


_KEYWORD: Final = griffe.ParameterKind.keyword_only


def _attrs_call(kind: Any) -> str | None:
    """The decorator that makes a class one of attrs; answers are made by the package only."""
    calls = (str(each.value) for each in kind.decorators)
    return next((each for each in calls if each.startswith(("frozen", "define"))), None)


def _own_fields(kind: Any) -> Iterator[Any]:
    """The attributes of which attrs makes fields: those with a type, which griffe takes away from class variables."""
    if _attrs_call(kind) is not None:
        for each in kind.members.values():
            if each.is_attribute and each.annotation and "instance-attribute" in each.labels:
                yield each


def _parameter(field: Any) -> Any:
    by_keyword = "kw_only=True" in (_attrs_call(field.parent) or "") or _arguments(field.value).get("kw_only") == "True"
    kind = _KEYWORD if by_keyword else griffe.ParameterKind.positional_or_keyword
    return griffe.Parameter(field.name, annotation=field.annotation, kind=kind, default=_default(field))


def _called(value: Any) -> str:
    """The name of the function that makes a value."""
    return str(value.function) if isinstance(value, griffe.ExprCall) else ""


def _arguments(value: Any) -> dict[str, Any]:
    """The arguments of `field(...)`."""
    return {each.name: each.value for each in value.arguments} if _called(value) == "field" else {}


def _default(field: Any) -> Any:
    """The value of a field that is made without one; None if there is none."""
    value, arguments = field.value, _arguments(field.value)
    if "factory" in arguments:
        return griffe.ExprCall(function=arguments["factory"], arguments=[])
    if _called(value) == "Factory":
        return griffe.ExprCall(function=value.arguments[0], arguments=[])
    if _called(value) == "field":
        value = arguments.get("default")
    return _computed(field) if str(value).startswith(("_", "NOTHING")) else value


def _computed(field: Any) -> str | None:
    """A default that the source does not show, because a function makes it, or a constant that is not public."""
    try:
        kind = getattr(import_module(field.module.path), field.parent.name)
    except ImportError:  # of an extra
        return "..."
    value = fields_dict(kind)[field.name].default if has(kind) else getattr(kind, field.name)
    is_made = callable(value) or hasattr(value, "factory")
    return "..." if is_made else None if value is NOTHING else repr(value)


# --- members ----------------------------------------------------------------------------------------


def _add_inherited(kind: Any) -> None:
    """What a class inherits, as if it were its own. What all errors have in common stands at `OchyError` only."""
    bases = kind.mro()
    is_error = any(each.name == "OchyError" for each in bases)
    for name, member in kind.inherited_members.items():
        if name[0] != "_" and not is_error:
            kind.set_member(name, griffe.Alias(name, member.final_target, lineno=kind.lineno, parent=kind))
    for name, member in kind.members.items():
        if not member.is_alias and not member.has_docstring:
            above = (base.members[name] for base in bases if name in base.members)
            member.docstring = next((each.docstring for each in above if each.has_docstring), None)


def _hide_internals(kind: Any) -> None:
    """Special methods without a docstring, private base classes, and how fields are made. Shows everything else."""
    kind.bases = [each for each in kind.bases if not _HIDDEN_BASE.match(str(each))]
    for name, member in list(kind.members.items()):
        if not member.has_docstring and name[0] == "_":
            if name.startswith("__") and name != "__init__":
                kind.del_member(name)
            continue
        if not member.has_docstring:
            member.docstring = griffe.Docstring("")
        if member.is_attribute and not member.is_alias:
            in_init = member.labels == {"instance-attribute"}
            member.value = None if in_init else _default(member)
            _hide_long_value(member)
            member.labels -= {"class-attribute", "instance-attribute"}


def _hide_long_value(attribute: Any) -> None:
    """Types are shown whatever their length."""
    if len(str(attribute.value)) > LONGEST_VALUE and not isinstance(attribute.value, _TYPES):
        attribute.value = None
