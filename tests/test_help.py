"""`help` shows typed signatures, settings with defaults, and fields with units, and costs no import time."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any, get_overloads

import pytest
from attrs import fields, has

import ochy_async
from ochy_async import BackView, Concurrency, Limits, OchySession, Polling, Retry, SideView, SideViewResults
from ochy_async.batch.arguments import DEFAULTS, BatchSettings
from ochy_async.field_docs import documented
from tests.test_public import METHODS, PUBLIC, run

SETTINGS = (SideView, BackView, Limits, Concurrency, Retry, Polling)
WITH_FIELDS = [name for name in PUBLIC if has(getattr(ochy_async, name)) and name not in ("Batch", "Clip", "Problem")]


def help_of(thing: Any) -> str:
    """Returns what `help` prints."""
    return pydoc.plain(pydoc.render_doc(thing))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_typed_signature(name: str) -> None:
    """Each argument and each result has a type, and none is `Any` except where JSON is passed on."""
    method = getattr(OchySession, name)
    if isinstance(method, property):
        return
    shown = inspect.signature(method)
    untyped = [each.name for each in shown.parameters.values() if each.annotation is inspect.Parameter.empty]
    assert untyped == ["self"]
    assert shown.return_annotation not in (inspect.Signature.empty, "Any") or name == "request"
    assert " at 0x" not in str(shown)


def test_the_signature_of_batch_lists_its_settings() -> None:
    """Each setting has its type and default in the signature, and a sentence in the docstring."""
    shown = inspect.signature(OchySession.batch).parameters
    assert set(DEFAULTS) == set(BatchSettings.__annotations__)
    assert [name for name in shown if name not in ("self", "request")] == list(DEFAULTS)
    assert str(shown["journal"]) == "journal: 'str | os.PathLike[str] | Journal | None' = None"
    assert str(shown["tag_starts"]) == "tag_starts: 'bool' = False"
    text = inspect.getdoc(OchySession.batch) or ""
    assert [name for name in DEFAULTS if f"\n- `{name}`: " not in text] == []
    assert "settings" not in shown


def test_batch_refuses_unknown_settings() -> None:
    """A misspelt setting raises an error at once."""
    with pytest.raises(TypeError, match="max_credit"):
        OchySession().batch(max_credit=3)  # type: ignore[call-overload]


def test_type_checkers_still_see_the_overloads() -> None:
    """The listed signature is for people; the overloads are still registered."""
    assert len(get_overloads(OchySession.wait)) == 2


@pytest.mark.parametrize("name", WITH_FIELDS)
def test_a_class_lists_its_fields(name: str) -> None:
    """`help` of a class shows each of its fields with its type."""
    cls: Any = getattr(ochy_async, name)
    listed = [line for line in help_of(cls).splitlines() if " |      " in line or line.startswith(" |  ")]
    assert all(any(f"{each.name}: {each.type}" in line for line in listed) for each in fields(cls)), name


@pytest.mark.parametrize("cls", SETTINGS)
def test_help_shows_the_default_and_the_meaning_of_each_setting(cls: Any) -> None:
    """Each setting has a line with its type and default, followed by a sentence."""
    lines = (inspect.getdoc(cls) or "").splitlines()
    for field in fields(cls):
        expected = f"{field.name}: {field.type} = {field.default!r}"
        position = [line.strip() for line in lines].index(expected)
        assert lines[position + 1].startswith("    "), field.name


def test_help_names_the_units() -> None:
    """The sentences say meters, kilograms or seconds."""
    assert "height: float = 1.7\n    The runner's height in meters." in (inspect.getdoc(SideView) or "")
    assert "weight: float = 70.0\n    The runner's weight in kilograms." in (inspect.getdoc(BackView) or "")
    assert "connect: float = 15.0\n    Seconds to connect, including TLS." in (inspect.getdoc(Limits) or "")
    assert "annotated MP4" in (inspect.getdoc(SideViewResults) or "")


def test_a_class_without_source_lists_its_fields_without_sentences() -> None:
    """If the source cannot be read, `help` shows the docstring and the fields alone."""
    names: dict[str, Any] = {}
    exec("from attrs import frozen\n@frozen\nclass Made:\n    'Written.'\n    x: int = 3", names)  # noqa: S102
    assert inspect.getdoc(documented(names["Made"])) == "Written.\n\nFields:\n\nx: int = 3"


def test_importing_reads_no_source() -> None:
    """The source is read when `help` asks for it, not on import."""
    program = (
        "import linecache, ochy_async; ochy_async.OchySession; print([n for n in linecache.cache if 'limits.py' in n])"
    )
    assert run(program) == "[]"
