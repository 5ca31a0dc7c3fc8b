"""`ochy_async.dask`: clips on a Dask cluster, with a session in each worker and no secret in any task."""

from __future__ import annotations

import pickle
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ochy_async import PostgresJournal, SideView
from ochy_async.errors import InvalidRequest, InvalidSettings, JournalError
from tests.support.canary import DSN_PASSWORD, leaks, leaks_in_error
from tests.support.cli_harness import CliHarness

pytest.importorskip("distributed", reason="needs the extra dask: distributed is not installed")

import distributed

from ochy_async.dask import analyze
from ochy_async.engines import dask as adapter


@pytest.fixture
def client(harness: CliHarness, address: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """A client of a cluster of one worker in this process, whose environment is that of this process."""
    monkeypatch.setenv("OCHY_BASE_URL", harness.emulator.url)
    monkeypatch.setenv("OCHY_JOURNAL", address)
    dask: Any = distributed  # it has no types
    options = {"processes": False, "dashboard_address": ":0", "protocol": "tcp"}
    with dask.LocalCluster(n_workers=1, threads_per_worker=4, **options) as cluster, dask.Client(cluster) as opened:
        yield opened


def test_each_clip_has_a_result_and_is_bought_once(harness: CliHarness, client: Any) -> None:
    """Also with a request of its own, in another call, and when it is named twice."""
    clips = harness.clips("a.mp4", "b.mp4", "c.mp4")
    own = (clips[2], SideView(height=1.9))
    results = list(analyze(client, [*clips[:2], own, clips[0]], SideView()))
    assert sorted(each["clip"] for each in results) == sorted([*clips, clips[0]])
    assert {each["outcome"] for each in results} == {"analyzed"}
    again = list(analyze(client, clips[:2], SideView(), journal={"polls_per_second": 50}))
    assert {each["analysis_id"] for each in again} <= {each["analysis_id"] for each in results}
    assert harness.starts == 3


def test_a_call_that_is_left_early_leaves_no_session(harness: CliHarness, client: Any) -> None:
    """The worker hands over what is under way, and the next call collects it."""
    clips = harness.clips(*(f"{number}.mp4" for number in range(6)))
    results = analyze(client, clips, SideView())
    next(results)
    results.close()
    assert not [name for name in client.run(lambda dask_worker: list(dask_worker.plugins)) if "ochy" in name]
    assert len(list(analyze(client, clips, SideView()))) == 6
    assert harness.starts == 6


def test_what_a_worker_cannot_do_is_raised_by_the_call(
    harness: CliHarness, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first task: a journal that cannot be reached, or a setting that does not exist."""
    clips = harness.clips("a.mp4")
    with pytest.raises(InvalidSettings, match="Leave out `out`"):
        analyze(client, clips, SideView(), out="results")
    with pytest.raises(InvalidRequest, match="must be a path, or a URL"):
        list(analyze(client, [b"bytes"], SideView()))
    with pytest.raises(TypeError, match="max_credit"):
        list(analyze(client, clips, SideView(), max_credit=1))
    monkeypatch.setenv("OCHY_JOURNAL", "postgresql://ochy@127.0.0.1:1/nowhere")
    with pytest.raises(JournalError, match="Check that the server runs"):
        list(analyze(client, clips, SideView()))
    assert harness.starts == 0


def test_a_journal_that_failed_for_a_while_costs_no_clip_its_outcome(
    harness: CliHarness, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch starts nothing more after its journal has failed, so the worker opens another one."""
    failures = iter([True, True])

    class Failing(PostgresJournal):
        async def take(self, *names: str) -> str | None:
            if not names[0].startswith("upload:") and next(failures, False):
                raise JournalError("the database was away")
            return await super().take(*names)

    monkeypatch.setattr(adapter, "PostgresJournal", Failing)
    monkeypatch.setattr(adapter, "REOPEN", 0.1)
    clips = harness.clips(*(f"{number}.mp4" for number in range(8)))
    assert [each["outcome"] for each in analyze(client, clips, SideView())] == ["analyzed"] * 8
    assert harness.starts == 8


def test_a_limit_on_credits_is_no_failure_of_the_journal(harness: CliHarness, client: Any) -> None:
    """The other clips are unfinished, as they were."""
    clips = harness.clips("a.mp4", "b.mp4", "c.mp4")
    results = list(analyze(client, clips, SideView(), max_credits=1))
    assert sorted(each["outcome"] for each in results) == ["analyzed", "unfinished", "unfinished"]


def test_an_address_in_the_call_is_refused(client: Any) -> None:
    """It would be sent to the scheduler and to every worker."""
    secret = f"postgresql://u:{DSN_PASSWORD}@h/d"
    with pytest.raises(InvalidSettings, match="OCHY_JOURNAL") as refused:
        analyze(client, ["a.mp4"], SideView(), journal={"dsn": secret})
    assert leaks_in_error(refused.value) == []


def test_what_is_sent_to_workers_holds_no_secret(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the plugin nor a task, which the scheduler stores and shows."""
    monkeypatch.setenv("OCHY_JOURNAL", address)
    plugin = adapter.WorkerSession({"uploads": 2}, {"max_credits": 3})
    assert not leaks(repr(pickle.dumps(plugin)))
    assert not leaks(repr(vars(plugin)))


def test_an_object_is_analyzed_from_its_url(harness: CliHarness, client: Any, tmp_path: Path) -> None:
    """Here of a folder; `tests/engines/test_campaigns.py` takes those of a bucket."""
    pytest.importorskip("obstore", reason="needs the extra objects: obstore is not installed")
    (clip,) = harness.clips("a.mp4")
    (result,) = analyze(client, [f"file://{clip}"], SideView())
    assert (result["clip"], result["outcome"], result["bought"]) == (f"file://{clip}", "analyzed", True)
