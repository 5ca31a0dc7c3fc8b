"""Tests of the services in `docs/examples`: real processes that are stopped and killed, against the emulator."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from ochy_async.emulator import Delay, Emulator, FaultPlan, FaultRule, Throttle
from ochy_async.protocol.routes import LIST_ANALYSES, LIST_SUBJECT_ANALYSES, START
from tests.conftest import world
from tests.support.batches import clip
from tests.support.canary import HOOK_TOKEN
from tests.support.examples import Clock, ServiceProcess, serving, wait_until

httpx = pytest.importorskip("httpx", reason="needs the extra dev: httpx is not installed")
pytest.importorskip("fastapi", reason="needs the extra dev: fastapi is not installed")
pytest.importorskip("uvicorn", reason="needs the extra dev: uvicorn is not installed")
pytest.importorskip("python_multipart", reason="needs the extra dev: python-multipart is not installed")

SERVICES = ("fastapi_service", "aiohttp_service")
RUNNER = {"view": "side", "height": "1.8765", "weight": "68"}
FINAL = ("analyzed", "failed", "refused")
UNANSWERED = Delay(30, after=True)
"""The server takes the start, and does not answer."""


@pytest.fixture
def ochy(clock: Clock) -> Generator[Emulator]:
    """An emulator in which an analysis takes 100 s."""
    emulator = Emulator(world(queue_seconds=0.0, analysis_seconds=(100.0, 100.0)), clock=clock)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator


def upload(service: ServiceProcess, content: bytes | None = None, **fields: str) -> Any:
    files = {"video": ("runner.mp4", clip(1) if content is None else content)}
    return httpx.post(f"{service.url}/analyses", data={**RUNNER, **fields}, files=files, timeout=30)


def state_of(service: ServiceProcess, job_id: str) -> Any:
    return httpx.get(f"{service.url}/analyses/{job_id}", timeout=30).json()


def until(service: ServiceProcess, job_id: str, *wanted: str) -> Any:
    """The state of the job, once it is one of these."""
    return wait_until(lambda: (state := state_of(service, job_id))["status"] in wanted and state)


def deliver_to(service: ServiceProcess, ochy: Emulator) -> None:
    """Registers the webhook of the service."""
    ochy.set_webhook(f"{service.url}/hooks/ochy/{HOOK_TOKEN}")


@pytest.mark.parametrize("example", SERVICES)
def test_an_upload_becomes_a_job_that_a_delivery_finishes(
    example: str, ochy: Emulator, clock: Clock, tmp_path: Path
) -> None:
    """202 with an id at once; the webhook wakes the wait, and no log holds the runner's measures."""
    with serving(example, ochy.url, tmp_path) as service:
        deliver_to(service, ochy)
        accepted = upload(service)
        job_id = accepted.json()["id"]
        assert (accepted.status_code, upload(service).json()["id"]) == (202, job_id)
        until(service, job_id, "analyzing")
        clock.skipped += 200
        state = until(service, job_id, *FINAL)
        log = service.log.read_text()
    assert state["status"] == "analyzed"
    assert 0 <= state["total_score"] <= 1
    assert len(ochy.service.ledger) == 1
    assert "/hooks/ochy/" in log
    assert "1.8765" not in log


@pytest.mark.parametrize("example", SERVICES)
def test_the_answers_of_the_service(example: str, ochy: Emulator, tmp_path: Path) -> None:
    """An upload that is too large, a request that is wrong, and an unknown job have answers of their own."""
    with serving(example, ochy.url, tmp_path) as service:
        assert upload(service, b"\0" * 31_000_001).status_code == 413
        wrong = upload(service, height="175")
        missing = httpx.post(f"{service.url}/analyses", data=RUNNER, timeout=30)
        unknown = httpx.get(f"{service.url}/analyses/{'0' * 64}", timeout=30)
        hook = httpx.get(f"{service.url}/hooks/ochy/{'wrong' * 4}", timeout=30)
    assert (wrong.status_code, "centimeters" in wrong.text) == (422, True)
    assert (missing.status_code, unknown.status_code, hook.status_code) == (422, 404, 404)
    assert not ochy.service.ledger
    assert not list((tmp_path / "jobs").glob("upload-*"))


def test_the_health_of_the_service(ochy: Emulator, tmp_path: Path) -> None:
    """It answers 503 once the account does not take the key any more."""
    with serving("fastapi_service", ochy.url, tmp_path) as service:
        wait_until(lambda: httpx.get(f"{service.url}/health", timeout=30).status_code == 200)
        ochy.service.rotate_key(ochy.api_key, "another-key")
        assert httpx.get(f"{service.url}/health", timeout=30).status_code == 503


@pytest.mark.parametrize("example", SERVICES)
def test_a_service_that_is_stopped_while_it_waits_collects_after_its_restart(
    example: str, ochy: Emulator, clock: Clock, tmp_path: Path
) -> None:
    """SIGTERM ends the wait at once; the next process waits for the same analysis."""
    with serving(example, ochy.url, tmp_path) as service:
        job_id = upload(service).json()["id"]
        until(service, job_id, "analyzing")
        service.process.terminate()
        began = time.monotonic()
        assert service.end() in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 5
    clock.skipped += 200
    with serving(example, ochy.url, tmp_path) as service:
        assert until(service, job_id, *FINAL)["status"] == "analyzed"
    assert len(ochy.service.ledger) == 1


def test_a_stopped_service_waits_for_the_answer_to_a_start(ochy: Emulator, clock: Clock, tmp_path: Path) -> None:
    """The id is in the journal, so the next process has nothing to look up."""
    ochy.faults = FaultPlan([FaultRule(str(START), Delay(1.0, after=True))])
    with serving("fastapi_service", ochy.url, tmp_path) as service:
        job_id = upload(service).json()["id"]
        wait_until(lambda: ochy.service.ledger)
        service.process.terminate()
        service.end()
    clock.skipped += 200
    with serving("fastapi_service", ochy.url, tmp_path) as service:
        assert until(service, job_id, *FINAL)["status"] == "analyzed"
    assert len(ochy.service.ledger) == 1
    assert not sum(ochy.service.count(str(each)) for each in (LIST_ANALYSES, LIST_SUBJECT_ANALYSES))


def charged(_: ServiceProcess, ochy: Emulator, __: str) -> bool:
    return bool(ochy.service.ledger)


def analyzing(service: ServiceProcess, _: Emulator, job_id: str) -> bool:
    return bool(state_of(service, job_id)["status"] == "analyzing")


def polled(service: ServiceProcess, _: Emulator, job_id: str) -> bool:
    return state_of(service, job_id)["percentage"] is not None


def stopping(service: ServiceProcess, ochy: Emulator, _: str) -> bool:
    wait_until(lambda: ochy.service.ledger)
    service.process.terminate()
    wait_until(lambda: "Waiting for application shutdown" in service.log.read_text())
    return True


@pytest.mark.parametrize(
    ("moment", "fault"),
    [
        pytest.param(charged, UNANSWERED, id="before the start's answer"),
        pytest.param(analyzing, None, id="after the start's answer"),
        pytest.param(polled, None, id="while it waits"),
        pytest.param(stopping, UNANSWERED, id="while it shuts down"),
    ],
)
def test_a_service_that_is_killed_after_it_paid_collects_after_its_restart(
    moment: Callable[[ServiceProcess, Emulator, str], bool],
    fault: Delay | None,
    ochy: Emulator,
    clock: Clock,
    tmp_path: Path,
) -> None:
    """`kill -9` at any moment: one credit, and the same job has the results."""
    ochy.faults = None if fault is None else FaultPlan([FaultRule(str(START), fault)])
    with serving("fastapi_service", ochy.url, tmp_path) as service:
        deliver_to(service, ochy)
        job_id = upload(service).json()["id"]
        wait_until(lambda: moment(service, ochy, job_id))
        service.kill()
    clock.skipped += 200
    with serving("fastapi_service", ochy.url, tmp_path) as service:
        assert until(service, job_id, *FINAL)["status"] == "analyzed"
        assert upload(service).json()["id"] == job_id
    assert len(ochy.service.ledger) == 1


def test_a_service_that_is_killed_during_an_upload_does_not_buy_blindly(ochy: Emulator, tmp_path: Path) -> None:
    """Whether the server took the start is not known, so the client sees that the job is uncertain."""
    ochy.faults = FaultPlan([FaultRule(str(START), Throttle(20_000, direction="upload"))])
    with serving("fastapi_service", ochy.url, tmp_path) as service:
        job_id = upload(service, clip(1) + b"\0" * 2_000_000).json()["id"]
        # Before its last chunk leaves, the start surely did not happen, and the next process would send it again.
        wait_until(lambda: any(b"sending" in each.read_bytes() for each in tmp_path.glob("jobs/jobs.journal*")))
        assert state_of(service, job_id)["status"] == "uploading"
        service.kill()
    with serving("fastapi_service", ochy.url, tmp_path) as service:
        assert until(service, job_id, "uncertain", *FINAL)["status"] == "uncertain"
    assert not ochy.service.ledger
    assert ochy.service.count(str(START)) <= 1
