"""Kept files as values again: what a batch wrote to its output folder, for scripts and notebooks that come later.

Invariant: what a file is, its content says and not its name. No error holds anything of the content but keys and types.
All of it blocks: inside an event loop call it in a thread, such as `await asyncio.to_thread(load_landmarks, path)`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast, overload

import orjson
from attrs import field, fields, frozen

from .errors import InvalidRequest, OchyError, OutputError, Problem, UnreadableAnswer
from .field_docs import documented
from .policy.limits import Limits
from .protocol.answer import Answer
from .protocol.converter import structure
from .protocol.drift import DriftLog, Mismatch, recording
from .protocol.landmarks import Landmarks, landmarks_of
from .protocol.outline import describe_body, outline
from .protocol.request import AnalysisRequest
from .protocol.text_summary import Summarized, display_text
from .protocol.views import VIEWS, Calculated, Results, classes_in_words, recognized_view

__all__ = ["SavedRecord", "load_calculated", "load_landmarks", "load_records", "load_results"]

R = TypeVar("R", bound=Answer)
C = TypeVar("C", bound=Answer)
T = TypeVar("T")
FilePath = str | os.PathLike[str]

_LIMITS: Final = Limits()
LONGEST_LINE: Final = 4 * _LIMITS.answer_bytes
"""Results and calculated data, twice over."""


@overload
def load_results(path: FilePath, view: type[AnalysisRequest[R, Any]]) -> R: ...
@overload
def load_results(path: FilePath, view: None = None) -> Results: ...
def load_results(path: FilePath, view: type[AnalysisRequest[Any, Any]] | None = None) -> Any:
    """The results in a kept file (`….results.json`), as the session gave them, but without links.

    `view` is `SideView` or `BackView`; left out it is told by the keys. Raises `OutputError` where the file cannot be
    read and `UnreadableAnswer` where it holds something else. Blocks.
    """
    _check(view)
    return _loaded(path, _LIMITS.answer_bytes, lambda body: _results(orjson.loads(body), view))


@overload
def load_calculated(path: FilePath, view: type[AnalysisRequest[Any, C]]) -> C: ...
@overload
def load_calculated(path: FilePath, view: None = None) -> Calculated: ...
def load_calculated(path: FilePath, view: type[AnalysisRequest[Any, Any]] | None = None) -> Any:
    """The calculated data in a kept file (`….calculated.json`), as the session gave them.

    `view`, errors and blocking as with `load_results`.
    """
    _check(view)
    return _loaded(path, _LIMITS.answer_bytes, lambda body: _calculated(orjson.loads(body), view))


def load_landmarks(path: FilePath) -> Landmarks:
    """The landmarks in a kept file of raw data (`….raw_data.json`), as `OchySession.raw_data` gives them.

    Raises `OutputError` where the file cannot be read and `UnreadableAnswer` where it holds something else. Blocks:
    for some tenths of a second for 10 s of film at 240 frames per second.
    """
    return _loaded(path, _LIMITS.raw_data_bytes, landmarks_of)


@documented
@frozen(kw_only=True)
class SavedRecord(Summarized):
    """One line of `results.jsonl`: how it ended for one clip."""

    clip: str | None
    """The clip as it was named."""
    outcome: str
    """`analyzed`, `refused`, `failed`, `uncertain` or `unfinished`."""
    analysis_id: str | None
    view: str | None
    """`side_view` or `back_view`."""
    extra: Mapping[str, str] = field(repr=False)
    """The input's own columns."""
    results: Results | None = field(repr=False)
    """None where there are none."""
    calculated: Calculated | None = field(repr=False)
    """None where they were not asked for, or could not be had."""
    raw: Mapping[str, Any] = field(repr=False, eq=False)
    """All fields of the line, as docs/results-schema.md describes them."""

    def _summary(self) -> Iterator[str]:
        yield f"{display_text(self.clip)}: {display_text(self.outcome)}"
        if self.results is not None:
            yield from str(self.results).splitlines()


def load_records(path: FilePath) -> Iterator[SavedRecord]:
    """The lines of a `results.jsonl` one after the other; the file may be longer than memory.

    Raises `OutputError` where the file cannot be read and `UnreadableAnswer` for a line that is none of ours, with
    its number. A last line that a crash has cut short is passed over. Blocks.
    """
    with _opened(path) as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
            if line.strip() and not _cut_short(line):
                yield _read(f"line {number} of {str(path)!r}", line, lambda body: _record(orjson.loads(body)))


def _cut_short(line: bytes) -> bool:
    """Whether it is a last line without an end: lines are written whole, with their line break at last."""
    return not line.endswith(b"\n") and len(line) < LONGEST_LINE and not line.endswith(b"}")


def _check(view: type[AnalysisRequest[Any, Any]] | None) -> None:
    if view is not None and view not in [each.request for each in VIEWS.values()]:
        raise InvalidRequest.of("view", (Problem("view", f"must be {classes_in_words()}, or left out"),))


def _results(body: Any, view: type[AnalysisRequest[Any, Any]] | None) -> Any:
    found = _object(body)
    if "biomechanical_analysis" not in found:
        raise Mismatch("the results of an analysis", "something else")
    return structure(found, (view or recognized_view(found).request).results_type)


def _calculated(body: Any, view: type[AnalysisRequest[Any, Any]] | None) -> Any:
    found = _object(body)
    cls = (view or recognized_view(found).request).calculated_type
    named = {each.name for each in fields(cast("Any", cls))} - {"raw"}
    if not named & found.keys():  # each key may be missing, so anything would pass for calculated data
        raise Mismatch("the calculated data of an analysis", "something else")
    return structure(found, cls)


def _record(body: Any) -> SavedRecord:
    found = _object(body)
    if not isinstance(found.get("schema"), int) or not isinstance(found.get("outcome"), str):
        raise Mismatch("a line of results.jsonl", "something else")
    known = VIEWS.get(str(found.get("view")))
    view = None if known is None else known.request
    results, calculated = found.get("results"), found.get("calculated")
    return SavedRecord(
        clip=found.get("clip"),
        outcome=found["outcome"],
        analysis_id=found.get("analysis_id"),
        view=found.get("view"),
        extra=found.get("extra") or {},
        results=None if results is None else _results(results, view),
        calculated=None if calculated is None else _calculated(calculated, view),
        raw=found,
    )


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Mismatch("an object", "something else")
    return body


def _loaded(path: FilePath, most: int, read: Callable[[bytes], T]) -> T:
    with _opened(path) as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise UnreadableAnswer(f"{str(path)!r} is larger than {most:,} bytes, which no answer of the API is.")
    return _read(repr(str(path)), body, read)


def _opened(path: FilePath) -> Any:
    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        why = getattr(error, "strerror", None) or "it is no path"
    raise OutputError(f"{str(path)!r} cannot be read: {why}. Check the path.")


def _read(where: str, body: bytes, read: Callable[[bytes], T]) -> T:
    """The value in `body`. Errors of decoders hold the whole text, so they end here."""
    why = None
    try:
        with recording(DriftLog("kept")):
            return read(body)
    except ValueError:
        why = "it is not JSON"
    except Mismatch as misfit:
        why = str(misfit)
    raise _unreadable(where, body, why)


def _unreadable(where: str, body: bytes, why: str) -> OchyError:
    try:
        excerpt = outline(orjson.loads(body), depth=1)
    except ValueError:
        excerpt = describe_body(body)
    error = UnreadableAnswer(
        f"{where} is not what it was loaded as: {why}. It holds {excerpt}. "
        "Nothing was changed; check that it is the kept file that you mean."
    )
    error.excerpt = excerpt
    return error
