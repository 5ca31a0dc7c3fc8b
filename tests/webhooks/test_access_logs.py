"""The token stays out of the logs of real web servers, which show the path of every request."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest

from ochy_async import Webhooks
from ochy_async.webhooks.access_logs import SERVER_LOGGERS, TokenMask
from ochy_async.webhooks.tokens import HookTokens
from tests.support import canary, hook_servers
from tests.support.canary import HOOK_TOKEN
from tests.support.hook_servers import MOUNT, PATH, Serve, ask

SECOND_TOKEN = "another-token-0123456789"


@pytest.fixture
def log() -> Generator[io.StringIO]:
    """What the loggers of web servers write, as a program sees it that configures logging."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("serve", "logger"),
    [(hook_servers.aiohttp_server, "aiohttp.access"), (hook_servers.starlette, "uvicorn.access")],
    ids=["aiohttp", "uvicorn"],
)
async def test_an_access_log_shows_a_mask(serve: Serve, logger: str, log: io.StringIO) -> None:
    """The line of each request is there, with `[token]` in its path; other paths are not changed."""
    hooks = Webhooks([HOOK_TOKEN, SECOND_TOKEN])
    async with hooks, serve(hooks) as port:
        await ask(port)
        await ask(port, b"[]")
        await ask(port, path=f"{MOUNT}/{SECOND_TOKEN}")
        await ask(port, path="/other/page")
    lines = [line for line in log.getvalue().splitlines() if line.startswith(logger)]
    assert [f"{MOUNT}/[token] HTTP/1.1" in line for line in lines] == [True, True, True, False]
    assert "/other/page HTTP/1.1" in lines[3]
    assert not canary.leaks(log.getvalue())
    assert SECOND_TOKEN not in log.getvalue()


@pytest.mark.anyio
async def test_the_default_log_of_uvicorn_shows_a_mask(capsys: pytest.CaptureFixture[str]) -> None:
    """Uvicorn's own formatter unpacks the arguments of a record, and its configuration replaces handlers only."""
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    hooks, before = Webhooks(), _state()
    try:
        async with hooks:
            uvicorn.Config(hooks.asgi)  # configures logging
            arguments = ("127.0.0.1:5", "POST", PATH, "1.1", 204)
            logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *arguments)
    finally:
        _restore(before)
    assert f'"POST {MOUNT}/[token] HTTP/1.1" 204 No Content' in capsys.readouterr().out


def _state() -> dict[str, tuple[list[logging.Handler], bool, int]]:
    loggers = {name: logging.getLogger(name) for name in ("uvicorn", "uvicorn.access", "uvicorn.error")}
    return {name: (list(each.handlers), each.propagate, each.level) for name, each in loggers.items()}


def _restore(state: dict[str, tuple[list[logging.Handler], bool, int]]) -> None:
    for name, (handlers, propagate, level) in state.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.mark.anyio
async def test_the_filters_are_gone_after_the_block() -> None:
    """Blocks may overlap, and the last one removes what is left; nothing else of a logger changes."""
    hooks = Webhooks()

    def filtered() -> int:
        return sum(len(logging.getLogger(name).filters) for name in SERVER_LOGGERS)

    assert filtered() == 0
    async with hooks:
        async with hooks.listening():
            assert filtered() == 2 * len(SERVER_LOGGERS)
        assert filtered() == len(SERVER_LOGGERS)
    assert filtered() == 0


def record_of(message: str, *arguments: Any, **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("any", logging.INFO, "", 0, message, arguments, None)
    vars(record).update(extra)
    return record


def _plain(record: logging.LogRecord) -> str:
    return record.getMessage()


RECORDS: dict[str, tuple[logging.LogRecord, Callable[[logging.LogRecord], str]]] = {
    "message": (record_of(f"POST {PATH}"), _plain),
    "arguments": (record_of("%s %s %d", "POST", PATH, 204), _plain),
    "gunicorn's arguments": (record_of("%(r)s", {"r": f"POST {PATH} HTTP/1.1"}), _plain),
    "nested arguments": (record_of("%s", {"raw_path": PATH.encode(), "headers": [(b"a", "b"), {"x": PATH}]}), _plain),
    "extra fields": (record_of("-", first_request_line=f"POST {PATH}"), lambda each: str(vars(each))),
}


@pytest.mark.parametrize(("record", "shown"), RECORDS.values(), ids=RECORDS)
def test_a_token_anywhere_in_a_record_is_masked(
    record: logging.LogRecord, shown: Callable[[logging.LogRecord], str]
) -> None:
    """Messages, arguments of every structure, and the extra fields that structured logs write."""
    assert TokenMask(HookTokens(HOOK_TOKEN)).filter(record)
    assert "[token]" in shown(record)
    assert not canary.leaks(str(vars(record)))


def test_a_record_without_a_token_is_not_changed() -> None:
    """Its values stay the same objects, also those that are no texts."""
    values = ("text", 5, None, [PATH[:5]], object())
    record = record_of("%s" * 5, *values, extra={"a": 1})
    before = dict(vars(record))
    TokenMask(HookTokens(HOOK_TOKEN)).filter(record)
    assert all(vars(record)[name] is value for name, value in before.items())
