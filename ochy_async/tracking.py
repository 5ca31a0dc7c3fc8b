"""Tells the observer of a session about operations: when they begin, are active and end.

Invariant: none of the errors of an observer reaches the session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Final, ParamSpec, Self

from anyio import get_cancelled_exc_class
from attrs import define

from .observing import Ended, Observation, Observer, Operation

__all__ = ["Tracked", "guarded", "track"]

P = ParamSpec("P")
logger: logging.Logger = logging.getLogger("ochy_async")

Ending = Callable[[BaseException | None], Ended]
"""How an operation ended that raised an error, or none."""


class Tracked:
    """An operation under way, as the library sees it. This base class is for a session without an observer.

    As a context manager it is active for the whole block, and ends with it.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def active(self) -> AbstractContextManager[None]:
        """What happens in the block belongs to the operation."""
        return _NOTHING

    def ending(self) -> AbstractContextManager[None]:
        """The operation ends with the block at the latest. A generator must not be active when it yields."""
        return _NOTHING

    def answered(self, status: int) -> None:
        """An attempt got an answer with this status."""

    def ends_as(self, ending: Ending) -> None:
        """Describes the end where `end` is not called."""

    def end(self, make: Callable[P, Ended], *args: P.args, **facts: P.kwargs) -> None:
        """Ends the operation as `make(*args, **facts)` says. Every call but the first does nothing."""


_NOTHING: Final = nullcontext()
_UNTRACKED: Final = Tracked()


@define(eq=False)
class _Observed(Tracked):
    """Reports to an observation, and keeps its errors from the session."""

    _observation: Observation
    _what: str
    """What to log if the observer fails."""
    _ending: Ending = Ended.of
    _entered: bool = False
    _ended: bool = False

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit()
        self.end(self._ending, error)

    @contextmanager
    def active(self) -> Generator[None]:
        self._enter()
        try:
            yield
        finally:
            self._exit()

    @contextmanager
    def ending(self) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            self.end(self._ending, error)
            raise
        self.end(self._ending, None)

    def answered(self, status: int) -> None:
        self._ending = partial(Ended.of, outcome="answered", status=status)

    def ends_as(self, ending: Ending) -> None:
        self._ending = ending

    def end(self, make: Callable[P, Ended], *args: P.args, **facts: P.kwargs) -> None:
        if not self._ended:
            self._ended = True
            with guarded(self._what):
                self._observation.end(make(*args, **facts))

    def _enter(self) -> None:
        with guarded(self._what):
            self._observation.__enter__()
            self._entered = True

    def _exit(self) -> None:
        if self._entered:
            self._entered = False
            with guarded(self._what):
                self._observation.__exit__(None, None, None)


def track(observer: Observer | None, make: Callable[P, Operation], *args: P.args, **facts: P.kwargs) -> Tracked:
    """Begins the operation `make(*args, **facts)`. Without an observer nothing is made."""
    if observer is None:
        return _UNTRACKED
    what = f"the observer failed on {make.__qualname__.partition('.')[0]}"
    with guarded(what):
        return _Observed(observer.operation(make(*args, **facts)), what)
    return _UNTRACKED


@contextmanager
def guarded(what: str) -> Generator[None]:
    """Runs foreign code that only looks on. Its errors are logged and not raised: they must not lose a paid
    analysis."""
    try:
        yield
    except (Exception, get_cancelled_exc_class()):
        logger.exception("%s", what)
