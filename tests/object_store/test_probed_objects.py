"""Videos in object stores that are checked before they are bought."""

from __future__ import annotations

import pytest

from ochy_async.emulator import Service
from tests.conftest import QUICK, direct_session, world
from tests.support.batches import batched, charges, words
from tests.support.object_servers import ObjectServer
from tests.support.videos import video


@pytest.mark.anyio
async def test_a_video_is_checked_hashed_and_sent_after_one_read(server: ObjectServer, bucket: str) -> None:
    """One that does not fit is read once too, and costs nothing."""
    server.put(bucket, "good.mp4", video(fps=60, frames=120))
    server.put(bucket, "slow.mp4", video(fps=10, frames=20))
    at = Service(world(analysis_seconds=(0.1, 0.2), queue_seconds=0))
    session = direct_session(at, polling=QUICK, preflight="warnings")
    assert words(await batched(session, server.objects(f"s3://{bucket}"))) == ["analyzed", "refused"]
    assert server.reads(bucket) == {"good.mp4": 1, "slow.mp4": 1}
    assert charges(at) == [1]
