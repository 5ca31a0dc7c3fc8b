"""Searches every place that a secret must never reach.

The functions return what they found, so that a test can plant a leak and see it found.
"""

from __future__ import annotations

import gc
import pickle
import traceback
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType

API_KEY = "canary-key-4f1d9c/7e+2"
"""Holds characters that are encoded in a URL, so both forms must be searched for. No part that is searched for can
stand in a hash or an id by chance: each has letters that are no hexadecimal digits."""

PROXY_PASSWORD = "canary-proxy-8b2e/5"
"""Of the user `runner` of a proxy."""

HOOK_TOKEN = "canary-hook-Zk3v9Qe7_Lx2"
"""The last part of a webhook's URL."""

DSN_PASSWORD = "canary-dsn-5c3a/9"
"""Of the servers that the tests start for a bus."""

SECRETS = (
    *(API_KEY, "canary-key-4f1d9c%2F7e%2B2", "key-4f1d9c", "signature="),
    *("canary-proxy-8b2e", "cnVubmVyOmNhbmFyeS1wcm94eS04YjJl"),
    *("canary-hook-Zk3v9", "Qe7_Lx2"),
    "canary-dsn-5c3a",
)
"""The key as it is, as it stands in a URL, a piece of it, the mark of a signed URL; the password of a proxy as it is
and as it stands in a header, each without its end; both halves of a webhook's token; the password of a database,
without its end."""

_OURS = ("/ochy_async/", "/aiohttp/", "/anyio/", "/attr/", "/cattrs/", "/asyncio/", "/asyncpg/", "/redis/")


def leaks(text: str) -> bool:
    """Whether a text holds a secret."""
    return any(secret in text for secret in SECRETS)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error with all its causes and contexts, including suppressed ones."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def leaks_in_error(error: BaseException) -> list[str]:
    """The places in an error, its chain, its pickle or its frames of library code that hold a secret."""
    found: list[str] = []
    for each in chain(error):
        places = {"text": str(each), "repr": repr(each), "args": repr(each.args), "facts": repr(vars(each))}
        places["traceback"] = "".join(traceback.format_exception(each))
        found += [f"{type(each).__name__}.{place}" for place, text in places.items() if leaks(text)]
        found += [f"{type(each).__name__} {place}" for place in _frame_leaks(each)]
    try:
        pickled = pickle.dumps(error)
    except Exception:  # noqa: BLE001 - an error of somebody else's making need not pickle
        pickled = b""
    return found + (["pickle"] if leaks(pickled.decode("latin-1")) else [])


def _frame_leaks(error: BaseException) -> Iterator[str]:
    step = error.__traceback__
    while step is not None:
        frame: FrameType = step.tb_frame
        if any(part in frame.f_code.co_filename for part in _OURS) and "/tests/" not in frame.f_code.co_filename:
            for name, value in frame.f_locals.items():
                if leaks(safe_repr(value)):
                    yield f"frame {frame.f_code.co_qualname}, local {name}"
        step = step.tb_next


def safe_repr(value: object) -> str:
    """The repr of any object; the class of an object that is half constructed or raises in its repr."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - whatever a repr raises, it shows nothing
        return f"<{type(value).__name__}>"


def leaks_in_objects() -> list[str]:
    """The living objects of the library whose repr shows a secret."""
    client = (each for each in gc.get_objects() if _is_of_the_client(str(type(each).__module__)))
    return sorted({f"repr of {type(each).__name__}" for each in client if leaks(safe_repr(each))})


@cache
def _is_of_the_client(module: str) -> bool:
    return module.startswith("ochy_async") and not module.startswith("ochy_async.emulator")


def leaks_in_files(folder: Path) -> list[str]:
    """The files below a folder that hold a secret."""
    return [f"file {path.name}" for path in folder.rglob("*") if path.is_file() and leaks(_text(path))]


def leaks_in_texts(what: str, texts: Iterable[str]) -> list[str]:
    """The texts that hold a secret."""
    return [f"{what}: {text.replace(API_KEY, '[key]')[:80]}" for text in texts if leaks(text)]


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")
