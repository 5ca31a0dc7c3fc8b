"""The examples of docs/how-to/webhooks.md serve a webhook."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import ochy_async
from tests.support.hook_servers import JSON, MOUNT, aiohttp_app, ask, uvicorn_app

PAGE = Path(ochy_async.__file__).parents[1] / "docs/how-to/webhooks.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [textwrap.dedent(each) for each in re.findall(r"^ *```python\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)]
SERVERS = [each for each in BLOCKS if "app = " in each]


@pytest.mark.anyio
@pytest.mark.parametrize("block", SERVERS, ids=range(len(SERVERS)))
async def test_an_example_of_the_page_takes_deliveries(block: str) -> None:
    """Each defines an `app`, which answers a delivery with 204 and a stranger with 404."""
    if "fastapi" in block:
        pytest.importorskip("fastapi", reason="fastapi is not installed")
    names: dict[str, Any] = {"__name__": "service"}
    exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102 - the example is meant to run
    app = names["app"]
    async with aiohttp_app(app) if isinstance(app, web.Application) else uvicorn_app(app) as port:
        assert (await ask(port)).status == 204
        assert (await ask(port, path=f"{MOUNT}/{20 * chr(120)}")).status == 404
        assert (await ask(port, b"x", headers={**JSON, "Content-Type": "text/plain"})).status == 415


def test_the_page_has_examples_for_each_kind_of_server() -> None:
    """FastAPI, aiohttp.web, and ASGI alone."""
    assert [name for block in SERVERS for name in ("fastapi", "aiohttp", "hooks.asgi", ").asgi") if name in block] == [
        *("fastapi", "hooks.asgi"),
        "aiohttp",
        ").asgi",
    ]
