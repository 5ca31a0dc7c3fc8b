"""A job is plain JSON without secrets, and one that cannot be carried out is refused with all of its problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ochy_async import BackView, SideView
from ochy_async.batch.outcomes import Unfinished
from ochy_async.batch.sources import Item
from ochy_async.engines import Job, JobResult
from ochy_async.errors import InvalidRequest

REQUESTS = (
    SideView(),
    SideView(height=1.8, weight=61.5, pace="4:30", treadmill=True, language="de", subject_id="s1"),
    BackView(full_body=False, notify_via_webhook=True),
)


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("clip", ["/clips/a.mp4", "s3://lab/clips/a b%3F.mp4", "file:///clips/a.mp4"])
def test_a_job_survives_json(request_: Any, clip: str) -> None:
    """What is read is what was written, and the digest is the same for the same job only."""
    job = Job(clip, request_, {"trial": "3"})
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert Job.from_bytes(job.to_bytes()) == job
    digests = {each.digest for each in (job, Job.from_bytes(job.to_bytes()), Job(clip, SideView(height=1.6)))}
    assert len(digests) == 2


def test_a_relative_path_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker runs in another folder."""
    monkeypatch.chdir(tmp_path)
    assert Job.of(Item(0, "a.mp4", SideView())).clip == str(tmp_path / "a.mp4")


@pytest.mark.parametrize("clip", [b"bytes", "s3://user:secret@lab/a.mp4", "s3://lab/a.mp4?signature=x"])
def test_a_clip_without_a_plain_place_is_refused(clip: Any) -> None:
    """Another machine could not read it, or its URL would be a secret in a queue."""
    with pytest.raises(InvalidRequest, match="clip: must be a path, or a URL"):
        Job.of(Item(0, clip, SideView()))


def test_every_problem_of_a_job_is_told_at_once() -> None:
    """And none quotes a value, which may be a secret or health data."""
    with pytest.raises(InvalidRequest) as caught:
        Job.from_json({"clip": "s3://user:secret@lab/a.mp4", "view": "front", "extra": {"a": 1}})
    assert [each.field for each in caught.value.problems] == ["clip", "view", "extra"]
    assert "secret" not in str(caught.value)
    with pytest.raises(InvalidRequest) as caught:
        Job.from_json({"clip": "/a.mp4", "view": "side", "height": 17555, "full_body": True, "pace": 4})
    assert [each.field for each in caught.value.problems] == ["job", "height", "pace"]
    assert "17555" not in str(caught.value)


@pytest.mark.parametrize("text", [None, b"", b"[]", b"{", b"\xff", b'"s3://lab/a.mp4"'])
def test_what_is_no_json_object_is_refused(text: bytes | None) -> None:
    """Whatever another program has put into the queue."""
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        Job.from_bytes(text)


def test_a_result_masks_links() -> None:
    """A reason may quote an answer of the server."""
    job = Job("/a.mp4", SideView())
    reason = "see https://files.example/a?signature=abc"
    outcome = Unfinished(**Item(0, job.clip, job.request).facts, reason=reason)
    result = JobResult.of(job, outcome)
    assert "signature" not in json.dumps(result.to_json())
    assert (result.outcome, result.is_final) == ("unfinished", False)
