"""Buses are checked when they are made, and never show their address."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from typing import Any

import pytest

from ochy_async.errors import InvalidSettings
from ochy_async.webhooks.postgres_bus import PostgresBus
from ochy_async.webhooks.redis_bus import RedisBus
from ochy_async.webhooks.remote_bus import RemoteBus
from tests.support import canary
from tests.support.canary import DSN_PASSWORD

BUSES = [PostgresBus, RedisBus]
PASSWORD = DSN_PASSWORD.replace("/", "%2F")


@pytest.fixture(params=BUSES)
def bus_class(request: pytest.FixtureRequest) -> type[RemoteBus]:
    """Each class of bus whose library is installed."""
    found: type[RemoteBus] = request.param
    pytest.importorskip(found.library, reason=f"needs the extra {found.extra}: {found.library} is missing")
    return found


def refused(bus_class: type[RemoteBus], *arguments: Any, **settings: Any) -> str:
    """The text of the error, after a search for the password in all of it."""
    with pytest.raises(InvalidSettings) as raised:
        bus_class(*arguments, **settings)
    assert canary.leaks_in_error(raised.value) == []
    assert raised.value.__context__ is None
    for frame, _ in traceback.walk_tb(raised.value.__traceback__):
        if "/tests/" not in frame.f_code.co_filename:
            assert not canary.leaks(repr(frame.f_locals))
    return str(raised.value)


@pytest.mark.parametrize("rest", ["127.0.0.1", "127.0.0.1:1234", "[::1]:1234/0", "example.org/0"])
def test_usual_addresses_are_accepted(bus_class: type[RemoteBus], rest: str) -> None:
    """Each scheme of a library, with and without credentials."""
    for scheme in bus_class.schemes:
        bus_class(f"{scheme}://{rest}")
        bus_class(f"{scheme}://u:{PASSWORD}@{rest}")


def test_further_addresses_of_each_library_are_accepted() -> None:
    """Several hosts and a Unix socket for Postgres; a Unix socket, TLS and options for Redis."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is missing")
    pytest.importorskip("redis", reason="needs the extra redis: redis is missing")
    PostgresBus(f"postgres://u:{PASSWORD}@one:5432,two:5433/db?sslmode=require&target_session_attrs=read-write")
    PostgresBus(f"postgresql://u:{PASSWORD}@/db?host=/var/run/postgresql")
    PostgresBus("postgresql:///db")
    RedisBus(f"unix:///run/redis.sock?db=0&password={PASSWORD}")
    RedisBus(f"rediss://:{PASSWORD}@host/0?ssl_cert_reqs=none&socket_timeout=2.5")


@pytest.mark.parametrize(
    "address",
    [
        *(f"mysql://u:{PASSWORD}@host", f"postgresql+asyncpg://u:{PASSWORD}@host/db", f"u:{PASSWORD}@host", "", " "),
        *(f"{{scheme}}:u:{PASSWORD}@host", f"{{scheme}}://u:{DSN_PASSWORD}@host", f"{{scheme}}://u:x@{PASSWORD}@host"),
        *(
            f"{{scheme}}://u:{PASSWORD}#x@host",
            f"{{scheme}}://u:{PASSWORD}?x@host",
            f"{{scheme}}://u:{PASSWORD}@h:port",
        ),
        *(f"{{scheme}}://u:{PASSWORD}@h:99999", f"{{scheme}}://u:{PASSWORD}@h\n", f"{{scheme}}://u:{PASSWORD} @h"),
        *(f"{{scheme}}://u:{PASSWORD}@[::1", f"{{scheme}}://u:{PASSWORD}@h\0"),
        *(None, 5, f"{{scheme}}://{PASSWORD}@h".encode()),
    ],
    ids=ascii,
)
def test_an_unusable_address_is_refused_and_not_quoted(bus_class: type[RemoteBus], address: Any) -> None:
    """Not even the part that is wrong is quoted: with a character that is not encoded it may be half the password."""
    given = address.format(scheme=bus_class.schemes[0]) if isinstance(address, str) else address
    assert refused(bus_class, given).startswith(f"The address of the {bus_class.__name__} ")


@pytest.mark.parametrize("option", [f"nonsense={PASSWORD}", f"socket_timeout={PASSWORD}", f"protocol={PASSWORD}"])
def test_an_option_that_redis_does_not_know_is_refused(option: str) -> None:
    """redis-py would raise at the first connection, which is after the program has started."""
    pytest.importorskip("redis", reason="needs the extra redis: redis is missing")
    assert "option" in refused(RedisBus, f"redis://:{PASSWORD}@127.0.0.1?{option}")


@pytest.mark.parametrize("channel", ["", "a b", "x" * 64, "ü", 'a"; DROP', None, 5, b"x", "a\n"], ids=ascii)
def test_an_unusable_channel_is_refused(bus_class: type[RemoteBus], channel: Any) -> None:
    """Postgres would cut a long name silently, and then nobody would hear anything."""
    address = f"{bus_class.schemes[0]}://u:{PASSWORD}@127.0.0.1"
    assert "channel" in refused(bus_class, address, channel=channel)


def test_a_bus_shows_its_channel_only(bus_class: type[RemoteBus]) -> None:
    """Its repr names neither password nor user nor host."""
    bus = bus_class(f"{bus_class.schemes[0]}://u:{PASSWORD}@secret-host", channel="hints")
    assert repr(bus) == str(bus) == f"{bus_class.__name__}(…, channel='hints')"


def test_a_bus_cannot_be_pickled(bus_class: type[RemoteBus]) -> None:
    """A pickle is a file, a queue or a cache."""
    bus = bus_class(f"{bus_class.schemes[0]}://u:{PASSWORD}@127.0.0.1")
    with pytest.raises(TypeError, match="cannot be pickled") as raised:
        pickle.dumps(bus)
    assert canary.leaks_in_error(raised.value) == []


@pytest.mark.parametrize("name", ["PostgresBus", "RedisBus"])
def test_without_its_library_a_bus_names_the_command_that_installs_it(name: str) -> None:
    """The class can be imported without the extra, and says what is missing when it is used."""
    bus_class = {each.__name__: each for each in BUSES}[name]
    script = f"""
import sys
sys.modules[{bus_class.library!r}] = None
from {bus_class.__module__} import {name}
try:
    {name}("{bus_class.schemes[0]}://u:{PASSWORD}@127.0.0.1")
except Exception as error:
    print(type(error).__name__, error, error.__cause__, error.__context__)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    assert done.stdout == (
        f"InvalidSettings {name} needs {bus_class.library}, which is not installed. "
        f"Install it with: pip install 'ochy-async[{bus_class.extra}]' None None\n"
    )
