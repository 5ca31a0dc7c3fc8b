"""The search for secrets works: a leak is planted in every place, and each is found."""

from __future__ import annotations

import gc
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ochy_async.errors import Problem
from tests.conftest import _Records  # pyright: ignore[reportPrivateUsage]
from tests.support import canary
from tests.support.canary import API_KEY, SECRETS

TESTS = Path(__file__).parents[1]
HARMLESS = ("", "canary", "an API key", "https://partner-api.ochy-prod.com/analysis?apiKey=[key]")


def caught(fail: Callable[[], object]) -> Exception:
    """The error that a callable raises, with traceback and chain."""
    try:
        fail()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is searched
        return error
    raise AssertionError("it should fail")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_in_a_text_is_found(secret: str) -> None:
    """The key as it is, URL-encoded or in part, a webhook's token, and the mark of a signed URL are found."""
    assert canary.leaks(f"before {secret} after")


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_text_is_not_reported(text: str) -> None:
    """A text without a secret is not reported."""
    assert not canary.leaks(text)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_hash_is_taken_for_a_secret(secret: str) -> None:
    """Journals hold hashes and random ids by the thousand, in which six given digits do turn up."""
    assert not re.fullmatch("[0-9a-f-]*", secret)
    assert len(secret) > 6


def in_text() -> None:
    raise RuntimeError(f"GET https://h/?apiKey={API_KEY}")


def in_args() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            return "mute"

        __repr__ = __str__

    raise Mute({"url": [API_KEY]})


def in_an_attribute() -> None:
    error = RuntimeError("mute")
    vars(error)["request"] = {"params": {"apiKey": API_KEY}}
    raise error


def in_a_note() -> None:
    error = RuntimeError("mute")
    error.add_note(API_KEY)
    raise error


def in_the_cause() -> None:
    raise RuntimeError("mute") from ValueError(API_KEY)


def in_the_context() -> None:
    try:
        in_text()
    except RuntimeError:
        raise ValueError("mute")  # noqa: B904 - the context is the point


def in_a_suppressed_context() -> None:
    try:
        in_text()
    except RuntimeError:
        raise ValueError("mute") from None


def in_a_group() -> None:
    raise ExceptionGroup("mute", [ValueError("mute"), ExceptionGroup("mute", [ValueError(API_KEY)])])


def in_a_frame_of_the_library() -> None:
    names: dict[str, Any] = {}
    program = "def send(part):\n    key = 'canary-key-' + part\n    raise OSError('mute')"
    exec(compile(program, "/somewhere/ochy_async/transport.py", "exec"), names)  # noqa: S102
    names["send"]("4f1d9c" + "/7e+2")


class Smuggler(Exception):
    """An error that shows nothing and pickles everything."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Smuggler, ("mute",), {"hidden": API_KEY}


def in_a_pickle() -> None:
    raise Smuggler("mute")


@pytest.mark.parametrize(
    ("fail", "place"),
    [
        (in_text, "RuntimeError.text"),
        (in_args, "Mute.args"),
        (in_an_attribute, "RuntimeError.facts"),
        (in_a_note, "RuntimeError.facts"),
        (in_the_cause, "ValueError.text"),
        (in_the_context, "RuntimeError.text"),
        (in_a_suppressed_context, "RuntimeError.text"),
        (in_a_group, "ValueError.text"),
        (in_a_frame_of_the_library, "OSError frame send, local key"),
        (in_a_pickle, "pickle"),
    ],
)
def test_a_leak_in_an_error_is_found(fail: Callable[[], object], place: str) -> None:
    """Wherever in an error and its chain the key is, the place is named."""
    assert place in canary.leaks_in_error(caught(fail))


def test_an_error_without_a_secret_is_not_reported() -> None:
    """Neither a chain nor the locals of the caller's own code are reported without a leak."""

    def clean() -> None:
        mine = API_KEY
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("mute", len(mine)) from error

    assert canary.leaks_in_error(caught(clean)) == []


def test_a_cyclic_chain_is_searched_once() -> None:
    """Two errors that are each other's context are each searched once."""
    first, second = ValueError("mute"), ValueError(API_KEY)
    first.__context__, second.__context__ = second, first
    assert set(canary.chain(first)) == {first, second}
    assert canary.leaks_in_error(first) != []
    first.__context__ = None


def test_a_leak_in_a_log_is_found() -> None:
    """A key in the message, or only in its arguments, is found."""
    records = _Records()
    for message, arguments in (("clean", ()), ("url: %s", (API_KEY,)), ("%.3s", (API_KEY,))):
        records.handle(logging.LogRecord("aiohttp", logging.DEBUG, "", 0, message, arguments, None))
    found = canary.leaks_in_texts("log", records.lines)
    assert len(found) == 2
    assert all(each.startswith("log: aiohttp") for each in found)
    assert API_KEY not in "".join(found)


def test_a_leak_in_the_traceback_of_a_log_is_found() -> None:
    """`logger.exception` writes the complete chain."""
    records, error = _Records(), caught(in_the_cause)
    info = (type(error), error, error.__traceback__)
    records.handle(logging.LogRecord("ochy_async", logging.ERROR, "", 0, "mute", (), info))
    assert canary.leaks_in_texts("log", records.lines) != []


def test_a_leak_in_a_living_object_is_found() -> None:
    """An object of the library that shows the key in its repr is found, wherever it is referenced."""
    hidden = [{"deep": Problem("key", API_KEY)}]
    assert "repr of Problem" in canary.leaks_in_objects()
    hidden.clear()
    gc.collect()
    assert canary.leaks_in_objects() == []


def test_an_object_whose_repr_raises_is_shown_by_its_class() -> None:
    """A repr that raises does not end the search."""

    class Broken:
        def __repr__(self) -> str:
            raise LookupError("half made")

    assert canary.safe_repr(Broken()) == "<Broken>"


def test_a_leak_in_a_file_is_found(tmp_path: Path) -> None:
    """A key in any folder, also among binary data, is found."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "clean.bin").write_bytes(bytes(range(256)))
    leaking = deep / "journal.db"
    leaking.write_bytes(b"\xff\x00" + API_KEY.encode() + b"\x00")
    assert canary.leaks_in_files(tmp_path) == ["file journal.db"]
    leaking.unlink()


LEAKY = """
from tests.support.canary import API_KEY, HOOK_TOKEN
from ochy_async.errors import KeyRefused, Problem
from ochy_async import OchySession, Webhooks
import logging

held = []

def test_error():
    KeyRefused(f"the key {API_KEY} is wrong")

def test_suppressed():
    try:
        raise OSError(f"https://h/?apiKey={API_KEY}")
    except OSError:
        try:
            raise KeyRefused("mute") from None
        except KeyRefused:
            pass

def test_log():
    logging.getLogger("any").debug("asking %s", API_KEY)

def test_file(tmp_path):
    (tmp_path / "report.json").write_text(API_KEY)

def test_access_log():
    logging.getLogger("uvicorn.access").info('"%s %s"', "POST", f"/hooks/ochy/{HOOK_TOKEN}")

def test_object_with_a_token():
    Webhooks()
    held.append(Problem("token", HOOK_TOKEN))

def test_object():
    held.clear()
    OchySession()
    held.append(Problem("key", API_KEY))

def test_print():
    held.clear()
    print(API_KEY)

def test_clean():
    KeyRefused("mute")
"""


def test_a_test_that_leaks_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The fixture and the hook of every test find the planted leaks, and nothing else."""
    folder = tmp_path_factory.mktemp("leaky")  # not this test's own folder, which is searched
    shutil.copy(TESTS / "conftest.py", folder)
    (folder / "test_leaky.py").write_text(LEAKY, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--show-capture=no", "--tb=no"]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS.parent), os.environ.get("PYTHONPATH", "")))}
    done = subprocess.run(  # noqa: S603 - our own program
        command, cwd=folder, env=where, capture_output=True, text=True, check=False, timeout=60
    )
    caught_in = set(re.findall(r"^(?:ERROR|FAILED) test_leaky.py::(\w+)", done.stdout, flags=re.MULTILINE))
    assert caught_in == {
        *("test_error", "test_suppressed", "test_log", "test_file", "test_object", "test_print"),
        *("test_access_log", "test_object_with_a_token"),
    }
    assert "PASSED test_leaky.py::test_clean" in done.stdout
