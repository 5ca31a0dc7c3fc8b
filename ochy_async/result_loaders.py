"""Reads the files of an output folder back as typed values, for scripts and notebooks.

Invariant: the content of a file decides what it is, not its name, and errors show keys and types only. Every function
blocks; inside an event loop call it in a thread: `await asyncio.to_thread(load_landmarks, path)`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
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
from .protocol.drift import DriftLog, Mismatch
from .protocol.json_outline import describe_body, outline
from .protocol.landmarks import Landmarks, landmarks_of
from .protocol.request import AnalysisRequest
from .protocol.text_summary import Summarized, display_text
from .protocol.views import REQUEST_CLASSES, VIEWS, Calculated, Results, recognized_view

__all__ = ["SavedRecord", "load_calculated", "load_landmarks", "load_records", "load_results"]

R = TypeVar("R", bound=Answer)
C = TypeVar("C", bound=Answer)
T = TypeVar("T")
FilePath = str | os.PathLike[str]

_LIMITS: Final = Limits()
MAX_LINE: Final = 4 * _LIMITS.answer_bytes
"""Bytes: twice the size of results and calculated data together."""


@overload
def load_results(path: FilePath, view: type[AnalysisRequest[R, Any]]) -> R: ...
@overload
def load_results(path: FilePath, view: None = None) -> Results: ...
def load_results(path: FilePath, view: type[AnalysisRequest[Any, Any]] | None = None) -> Any:
    """Returns the results in a saved file (`….results.json`) as the session returned them, but without links.

    `view` is `SideView` or `BackView`; without it the keys decide. Raises `OutputError` if the file cannot be read, and
    `UnreadableAnswer` if it holds something else. Blocks.
    """
    _check_view(view)
    return _load(path, _LIMITS.answer_bytes, lambda body: _results(orjson.loads(body), view))


@overload
def load_calculated(path: FilePath, view: type[AnalysisRequest[Any, C]]) -> C: ...
@overload
def load_calculated(path: FilePath, view: None = None) -> Calculated: ...
def load_calculated(path: FilePath, view: type[AnalysisRequest[Any, Any]] | None = None) -> Any:
    """Returns the calculated data in a saved file (`….calculated.json`) as the session returned them.

    `view`, errors and blocking as with `load_results`.
    """
    _check_view(view)
    return _load(path, _LIMITS.answer_bytes, lambda body: _calculated(orjson.loads(body), view))


def load_landmarks(path: FilePath) -> Landmarks:
    """Returns the landmarks in a saved file of raw data (`….raw_data.json`), as `OchySession.raw_data` does.

    Raises `OutputError` if the file cannot be read, and `UnreadableAnswer` if it holds something else. Blocks: a few
    tenths of a second for 10 s of video at 240 frames per second.
    """
    return _load(path, _LIMITS.raw_data_bytes, landmarks_of)


@documented
@frozen(kw_only=True)
class SavedRecord(Summarized):
    """One line of `results.jsonl`: the outcome of one clip."""

    clip: str | None
    """The name of the clip in the input."""
    outcome: str
    """`analyzed`, `refused`, `failed`, `uncertain` or `unfinished`."""
    analysis_id: str | None
    view: str | None
    """`side_view` or `back_view`."""
    extra: Mapping[str, str] = field(repr=False)
    """The input's own columns."""
    results: Results | None = field(repr=False)
    """None if there are none."""
    calculated: Calculated | None = field(repr=False)
    """None if they were not asked for, or could not be fetched."""
    raw: Mapping[str, Any] = field(repr=False, eq=False)
    """All fields of the line; docs/reference/results-schema.md describes them."""

    def _summary(self) -> Iterator[str]:
        yield f"{display_text(self.clip)}: {display_text(self.outcome)}"
        if self.results is not None:
            yield from str(self.results).splitlines()


def load_records(path: FilePath) -> Iterator[SavedRecord]:
    """Yields the lines of a `results.jsonl`, one at a time; the file may be larger than memory.

    Raises `OutputError` if the file cannot be read, and `UnreadableAnswer` with the number of a line that is not a
    record. Skips a last line that a crash cut short. Blocks.
    """
    with _open(path) as file:
        for number, line in enumerate(iter(partial(file.readline, MAX_LINE), b""), 1):
            if line.strip() and not _cut_short(line):
                yield _parse(f"line {number} of {str(path)!r}", line, lambda body: _record(_line_values(body)))


def _cut_short(line: bytes) -> bool:
    """Whether a line is incomplete: the line break is written last."""
    return not line.endswith(b"\n") and len(line) < MAX_LINE and not line.endswith(b"}")


def _check_view(view: type[AnalysisRequest[Any, Any]] | None) -> None:
    if view is not None and view not in [each.request for each in VIEWS.values()]:
        raise InvalidRequest.of("view", (Problem("view", f"must be {REQUEST_CLASSES}, or left out"),))


def _results(body: Any, view: type[AnalysisRequest[Any, Any]] | None) -> Any:
    found = _object(body)
    if "biomechanical_analysis" not in found:
        raise Mismatch("the results of an analysis", "something else")
    return structure(found, (view or recognized_view(found).request).results_type)


def _calculated(body: Any, view: type[AnalysisRequest[Any, Any]] | None) -> Any:
    found = _object(body)
    cls = (view or recognized_view(found).request).calculated_type
    named = {each.name for each in fields(cast("Any", cls))} - {"raw"}
    if not named & found.keys():  # every key is optional, so any object would pass for calculated data
        raise Mismatch("the calculated data of an analysis", "something else")
    return structure(found, cls)


def _line_values(line: bytes) -> Any:
    """The values in a line. orjson rejects half a surrogate pair, which names of files may hold."""
    with suppress(ValueError):
        return orjson.loads(line)
    return json.loads(line)


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


def _load(path: FilePath, most: int, read: Callable[[bytes], T]) -> T:
    with _open(path) as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise UnreadableAnswer(
            f"{str(path)!r} is larger than {most:,} bytes, so it is no saved answer. Check the path."
        )
    return _parse(repr(str(path)), body, read)


def _open(path: FilePath) -> Any:
    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        why = getattr(error, "strerror", None) or "the path is not valid"
    raise OutputError(f"{str(path)!r} cannot be read: {why}. Check the path.")


def _parse(where: str, body: bytes, read: Callable[[bytes], T]) -> T:
    """Returns the value in `body`. Errors of decoders quote the entire text, so none of them leaves this function."""
    why = None
    try:
        with DriftLog("saved"):
            return read(body)
    except ValueError:
        why = "it is not JSON"
    except Mismatch as mismatch:
        why = str(mismatch)
    raise _unreadable(where, body, why)


def _unreadable(where: str, body: bytes, why: str) -> OchyError:
    try:
        excerpt = outline(orjson.loads(body), depth=1)
    except ValueError:
        excerpt = describe_body(body)
    error = UnreadableAnswer(
        f"{where} does not hold what it was loaded as: {why}. It holds {excerpt}. "
        "Nothing was changed. Check that it is the file that you mean."
    )
    error.excerpt = excerpt
    return error
