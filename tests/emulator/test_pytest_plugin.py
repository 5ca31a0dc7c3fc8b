"""The pytest fixture, in a separate pytest run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
import asyncio
import urllib.error
import urllib.request

import pytest

from ochy_async.emulator import FaultPlan, FaultRule, RespondHtml


def fetched(emulator, path, key=None):
    return urllib.request.urlopen(f"{emulator.url}{path}?apiKey={key or emulator.api_key}", timeout=5).read()


def test_plain(ochy_emulator):
    assert fetched(ochy_emulator, "/webhook") == b"{}"
    assert ochy_emulator.service.count("GET /webhook", 200) == 1


def test_faults(ochy_emulator):
    ochy_emulator.faults = FaultPlan([FaultRule("GET /webhook", RespondHtml(502))])
    with pytest.raises(urllib.error.HTTPError, match="502"):
        fetched(ochy_emulator, "/webhook")
    assert ochy_emulator.faults.remaining == ()


def test_each_test_has_its_own(ochy_emulator):
    assert ochy_emulator.service.requests == ()


@pytest.mark.anyio
async def test_async(ochy_emulator):
    assert await asyncio.to_thread(fetched, ochy_emulator, "/webhook") == b"{}"


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

HEAVY = ("aiohttp", "anyio", "asyncio", "attrs", "cattrs", "ochy_async.emulator.server", "ochy_async.emulator.service")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def test_the_fixture_works_in_plain_and_async_tests(tmp_path: Path) -> None:
    """Without any import or configuration, and with warnings as errors."""
    (tmp_path / "test_it.py").write_text(TESTS)
    finished = run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "4 passed" in finished.stdout, finished.stdout + finished.stderr


def test_loading_the_plugin_loads_nothing_heavy(tmp_path: Path) -> None:
    """The emulator's own modules import nothing but pytest and the standard library until they are used.

    The package around them is replaced by an empty one: what that imports is its own affair.
    """
    code = (
        "import sys, types, importlib.util\n"
        "found = importlib.util.find_spec('ochy_async')\n"
        "package = types.ModuleType('ochy_async')\n"
        "package.__path__ = found.submodule_search_locations\n"
        "sys.modules['ochy_async'] = package\n"
        "import pytest\n"
        "before = set(sys.modules)\n"
        "import ochy_async.emulator.pytest_plugin\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    finished = run("-c", code, cwd=tmp_path)
    assert "ochy_async.emulator.pytest_plugin" in finished.stdout, finished.stderr
    assert not [name for name in HEAVY if f"'{name}'" in finished.stdout]


def test_every_public_name_can_be_imported() -> None:
    """`__all__` is sorted and complete, and its names are loaded on first use."""
    import ochy_async.emulator as emulator

    assert [getattr(emulator, name).__name__ for name in emulator.__all__ if name != "BEHAVIORS"]
    assert emulator.__all__ == sorted(emulator.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
    assert set(emulator.__all__) <= set(dir(emulator))
    with pytest.raises(AttributeError, match="Nobody"):
        _ = emulator.Nobody
