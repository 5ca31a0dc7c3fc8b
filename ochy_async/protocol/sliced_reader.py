"""Reads a long answer in slices, so that the caller can let other tasks run between them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from attrs import define, field

from .call import Call
from .drift import DriftLog, DriftNote, Mismatch
from .error_mapping import parse_json, unreadable_answer
from .routes import Route
from .wire import Request, Response

__all__ = ["SlicedReader", "sliced_call"]

T = TypeVar("T")


@define(eq=False)
class SlicedReader(Generic[T]):
    """Reads an answer in slices: call `advance` until it returns True, then `result`."""

    _route: Route
    _response: Response = field(repr=False)
    _slices: Generator[None, None, T] = field(repr=False)
    """Reads one slice at each step and returns the value. Raises `ValueError` if the body is not JSON, `Mismatch`."""
    _name: str
    """The name of the value in drift notes."""
    _analysis_id: str | None = None
    _log: DriftLog = field(init=False)
    _values: list[T] = field(init=False, factory=list, repr=False)
    """The value, once everything is read."""

    def __attrs_post_init__(self) -> None:
        self._log = DriftLog(self._name)

    def advance(self) -> bool:
        """Reads one slice, about a millisecond of work at most. Returns True once everything is read.

        Raises `UnreadableAnswer`.
        """
        why = None
        try:
            with self._log:
                next(self._slices)
        except StopIteration as end:
            self._values.append(end.value)
        except ValueError:
            why = "it is not JSON"
        except Mismatch as error:
            why = str(error)
        if why is not None:  # outside the handlers, because errors of the decoder hold the complete text
            raise unreadable_answer(self._route, self._response, why, self._analysis_id)
        return bool(self._values)

    @property
    def notes(self) -> frozenset[DriftNote]:
        """The drift noted so far."""
        return self._log.notes()

    def result(self) -> T:
        """The value. Raises `RuntimeError` before everything is read."""
        if not self._values:
            raise RuntimeError("call `advance` until it returns True, then `result`")
        return self._values[0]


def sliced_call(
    request: Request, slices: Callable[[bytes], Generator[None, None, T]], name: str, analysis_id: str | None = None
) -> Call[SlicedReader[T]]:
    """A repeatable call whose answer `slices` reads. The caller advances the reader that the call returns."""
    return Call(
        request,
        lambda response: SlicedReader(request.route, response, slices(response.body), name, analysis_id),
        name,
        repeatable=True,
        analysis_id=analysis_id,
        json=lambda response: response if 200 <= response.status < 300 else parse_json(response),
    )
