"""One API call from the command line: its options, its session and its answer.

Invariant: a call that creates or deletes is sent at most once, and an unknown outcome is reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import anyio
import click

from ..errors import ConnectionFailed, FixRequest, InvalidRequest, OchyError, Phase, RateLimited
from ..session import OchySession
from .connection import ConnectionSettings, connection_options
from .display.reporter import Reporter
from .display.summary import print_drift
from .display.terminal import print_message
from .request_options import as_flag_problem, usage_error

__all__ = ["advise_if_unknown", "call_api", "call_options"]

T = TypeVar("T")

_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")


def call_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--json` and the connection options."""
    return _JSON(connection_options(command))


def call_api(connection: ConnectionSettings, call: Callable[[OchySession], Awaitable[T]]) -> T:
    """The result of the call, in a session of its own.

    Raises what the call raises, but a usage error that names the options for an invalid request.
    """
    reporter = Reporter()

    async def main() -> T:
        async with connection.open(reporter.listen) as ochy:
            return await call(ochy)

    try:
        answer = anyio.run(main)
    except InvalidRequest as error:
        params = click.get_current_context().command.params
        options = {each.name for each in params if isinstance(each, click.Option)}
        problems = [as_flag_problem(each) if each.field in options else str(each) for each in error.problems]
    else:
        print_drift(reporter)
        return answer
    raise usage_error(problems)  # outside the handler, so that it does not chain the request


@contextmanager
def advise_if_unknown(advice: str) -> Generator[None]:
    """Prints `advice` if the block fails or is interrupted and the server may have done what was asked."""
    try:
        yield
    except OchyError as error:
        if not _certainly_not_done(error):
            print_message(advice)
        raise
    except KeyboardInterrupt:
        print_message(advice)
        raise


def _certainly_not_done(error: OchyError) -> bool:
    if isinstance(error, ConnectionFailed):
        return error.phase is not Phase.COMPLETE
    return isinstance(error, FixRequest | RateLimited)
