"""One call of the API from the command line: its options, its session, its answer.

Invariant: what was asked happens at most once where it creates or deletes, and a doubt is said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio
import click

from ..errors import ConnectionFailed, FixRequest, OchyError, Phase, RateLimited
from ..session import OchySession
from .connection import Account, account_options
from .display.reporter import Paper, tell
from .display.summary import tell_drift

__all__ = ["call_options", "doubted", "perform"]

T = TypeVar("T")

_JSON: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, one object a line.")


def call_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--json`, and the options that say whose account is meant."""
    return _JSON(account_options(command))


def perform(account: Account, call: Callable[[OchySession], Awaitable[T]]) -> T:
    """What the call gives, in a session of its own. Raises what the call raises."""
    paper = Paper()

    async def performed() -> T:
        async with account.open(paper.listen) as ochy:
            return await call(ochy)

    answer = anyio.run(performed)
    tell_drift(paper)
    return answer


@contextmanager
def doubted(advice: str) -> Generator[None]:
    """Says `advice` where it ends without an answer and the server may have done what was asked."""
    try:
        yield
    except OchyError as error:
        if not _surely_not_done(error):
            tell(advice)
        raise
    except KeyboardInterrupt:
        tell(advice)
        raise


def _surely_not_done(error: OchyError) -> bool:
    if isinstance(error, ConnectionFailed):
        return error.phase is not Phase.COMPLETE
    return isinstance(error, FixRequest | RateLimited)
