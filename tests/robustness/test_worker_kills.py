"""Workers of one journal in Postgres that are killed and suspended, with servers that crash: real processes."""

from __future__ import annotations

import random
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from ochy_async.emulator import Emulator
from tests.conftest import world
from tests.robustness.test_mutations import Edit, planted, run
from tests.support.accelerated_time import ACCELERATION
from tests.support.canary import API_KEY, DSN_PASSWORD
from tests.support.postgres_journals import database
from tests.support.servers import PostgresServer, Server, running

pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the tests find processes in /proc, which Linux has")

CLIPS = 60
SEED = 1
"""An odd one, so that connections to the emulator break, too."""
KILLS = 5
"""At least, of each kind of disturbance."""
OBJECTS = 16


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    """A server that only these tests use, and crash."""
    with running(PostgresServer) as started:
        yield started


def test_no_clip_is_charged_twice_whatever_happens_to_four_workers_and_their_database(server: Server) -> None:
    """All paid results come home, the budget is the sum of the entries, and limits and ceilings are kept.

    Connections to the emulator are slow, break and are refused meanwhile.
    """
    from tests.support.worker_kills import campaign

    found = campaign(CLIPS, SEED, server, ceilings=True)
    assert not found.wrong
    assert found.kills >= KILLS
    assert found.stops >= KILLS
    assert found.crashes
    assert found.cuts
    assert found.charges > found.distinct * 0.4  # the faults leave many in doubt that were never charged


SENT_AGAIN: Edit = ("policy/clip_states.py", "State.SENDING: Step.RECONCILE", "State.SENDING: Step.START")


def test_the_campaign_finds_that_what_a_killed_worker_was_sending_is_sent_again(tmp_path: Path) -> None:
    """With that fault planted, the ledger shows a clip that was charged twice."""
    planted(tmp_path, [SENT_AGAIN])
    words = ("--clips", "60", "--seed", "0", "--campaigns", "3", "--once")
    found = run(tmp_path, "-m", "tests.support.worker_kills", *words)
    assert found.returncode == 1, found.stdout + found.stderr[-2000:]
    assert "2 credits for one clip" in found.stdout, found.stdout + found.stderr[-2000:]


def test_two_machines_buy_each_clip_of_a_bucket_once(server: Server, tmp_path: Path) -> None:
    """Both run `ochy analyze` with the same bucket and journal, and are killed. What is uncertain was not charged."""
    pytest.importorskip("click", reason="needs the extra cli: click is not installed")
    from tests.support.bucket_kills import BucketCampaign, fill
    from tests.support.object_servers import object_server

    emulator = Emulator(world(queue_seconds=0.5, listing_lag=5.0), speed=ACCELERATION)
    with object_server() as objects, start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        objects.put("two-machines")
        distinct = fill(objects, "two-machines", clips=OBJECTS, seed=0)
        environment = {
            "OCHY_API_KEY": API_KEY,
            "OCHY_BASE_URL": emulator.url,
            "OCHY_JOURNAL": database(server),
            "AWS_ACCESS_KEY_ID": "runner",
            "AWS_SECRET_ACCESS_KEY": DSN_PASSWORD,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{objects.port}",
        }
        words = ("analyze", "s3://two-machines/clips/", "--view", "side", "--tag-starts", "--json")
        ran = BucketCampaign(words, environment, tmp_path, emulator, random.Random(0))
        ran.run(KILLS)
    uncertain = {each["key"] for each in ran.outcomes if each["outcome"] == "uncertain"}
    assert ran.kills == KILLS
    assert len(ran.outcomes) == OBJECTS
    assert set(ran.charges.values()) == {1}
    assert len(ran.charges) == distinct - len(uncertain)
    assert not ran.leaks()
