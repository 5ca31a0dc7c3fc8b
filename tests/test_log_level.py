"""`OCHY_LOG`: the library's log on stderr, unless the program configures logging."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ochy_async import OchySession
from ochy_async.errors import InvalidSettings
from tests.support.canary import API_KEY

PROGRAM = """
import asyncio, logging, sys
from ochy_async import OchySession
from ochy_async.emulator import Emulator, EmulatorSettings
{before}
async def main():
    settings = EmulatorSettings(api_keys=frozenset({{"{key}"}}))
    async with Emulator(settings) as emulator:
        async with OchySession("{key}", base_url=emulator.url) as ochy:
            {after}
            await ochy.ping()
        async with OchySession("{key}", base_url=emulator.url) as ochy:
            await ochy.list_subjects()
asyncio.run(main())
"""


def stderr_of(level: str | None, before: str = "", after: str = "pass") -> str:
    """What a program prints to stderr that makes two calls with two sessions."""
    environment = {} if level is None else {"OCHY_LOG": level}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", PROGRAM.format(before=before, after=after, key=API_KEY)],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert API_KEY not in done.stderr
    assert done.stdout == ""
    return done.stderr


def test_debug_shows_each_request_once() -> None:
    """On stderr, with time, level and logger; two sessions do not double the lines."""
    lines = stderr_of("debug").splitlines()
    assert len([line for line in lines if line.endswith("DEBUG ochy_async: GET /webhook: HTTP 200")]) == 1
    assert len([line for line in lines if line.endswith("DEBUG ochy_async: GET /subjects: HTTP 200")]) == 1


@pytest.mark.parametrize("level", [None, "", "ERROR"])
def test_other_levels_show_no_requests(level: str | None) -> None:
    """Nor does the library say anything without the variable."""
    assert stderr_of(level) == ""


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_program_that_configures_logging_gets_each_line_once(place: str) -> None:
    """Its handler shows the log, and the library's own is silent, whichever came first."""
    configure = "logging.basicConfig(level='DEBUG', format='mine %(message)s', stream=sys.stderr)"
    lines = [line for line in stderr_of("debug", **{place: configure}).splitlines() if "GET /" in line]
    assert lines == ["mine GET /webhook: HTTP 200", "mine GET /subjects: HTTP 200"]


def test_a_handler_on_the_librarys_logger_counts_too() -> None:
    """It is the program's configuration as well."""
    before = "logging.getLogger('ochy_async').addHandler(logging.FileHandler(__import__('os').devnull))"
    assert stderr_of("debug", before) == ""


def test_a_level_that_the_program_sets_stays() -> None:
    """A program may ask for more or less than the variable."""
    assert stderr_of("debug", "logging.getLogger('ochy_async').setLevel('ERROR')") == ""


@pytest.mark.parametrize("state", ["sys.stderr.close()", "sys.stderr = None"])
def test_a_missing_stderr_ends_no_program(state: str) -> None:
    """A log is not worth an analysis, and it does not go to stdout instead."""
    assert stderr_of("debug", state) == ""


def test_another_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent, with the values that are possible."""
    monkeypatch.setenv("OCHY_LOG", "loud")
    with pytest.raises(InvalidSettings, match="OCHY_LOG must be one of debug, info, warning, error"):
        OchySession()
