"""URLs of object stores on the command line."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.conftest import CLIP, world
from tests.support.cli_harness import CliHarness, cli_harness, json_lines
from tests.support.object_servers import ObjectServer

SIDE = ("--view", "side")


@pytest.fixture
def harness(tmp_path: Path, server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Generator[CliHarness]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    settings = world(analysis_seconds=(0.1, 0.2), queue_seconds=0)
    with cli_harness(settings, tmp_path / "clips") as made:
        yield made


def fill(server: ObjectServer, bucket: str) -> list[str]:
    """Two videos of the same name and size in different folders, and a file that is none."""
    for key in ("one/run.mp4", "two/run.mp4", "notes.txt"):
        server.put(bucket, key, CLIP + key[:3].encode())
    return [f"s3://{bucket}/one/run.mp4", f"s3://{bucket}/two/run.mp4"]


def test_clips_of_a_bucket_are_analyzed_beside_those_of_a_path_and_bought_once(
    harness: CliHarness, server: ObjectServer, bucket: str
) -> None:
    """The outcomes have the URLs. The same command again reads nothing and buys nothing."""
    urls, paths = fill(server, bucket), harness.clips("local.mp4")
    for _ in range(2):
        result = harness.analyze(f"s3://{bucket}/", urls[0], *paths, *SIDE, "--json")
        assert result.exit_code == 0, result.output
        assert {each["clip"] for each in json_lines(result)} == {*urls, *paths}
        assert "1 clip named more than once" in result.stderr
    assert harness.starts == 3
    assert server.reads(bucket) == {"one/run.mp4": 1, "two/run.mp4": 1}


def test_clips_of_a_bucket_are_checked(harness: CliHarness, server: ObjectServer, bucket: str) -> None:
    """`ochy check` names them by their URLs."""
    urls = fill(server, bucket)
    result = harness.ochy("check", f"s3://{bucket}/", *SIDE, "--json")
    assert [each["clip"] for each in json_lines(result)] == urls
    assert [each["facts"]["container"] for each in json_lines(result)] == ["mp4"] * 2


def test_a_bucket_without_videos_and_one_that_does_not_exist_are_told(harness: CliHarness, bucket: str) -> None:
    """Nothing is sent."""
    empty = harness.analyze(f"s3://{bucket}/", *SIDE)
    assert (empty.exit_code, harness.starts) == (2, 0)
    assert f"under s3://{bucket}/" in empty.stderr
    missing = harness.analyze("s3://nowhere/clips", *SIDE)
    assert (missing.exit_code, harness.starts) == (1, 0)
    assert "s3://nowhere/clips/ cannot be listed" in missing.stderr.replace("\n", " ")
