"""Mutation tests: faults of one line, planted in a copy of the library, are found by the simulation or by named tests.

The library passes the same simulation and tests without the faults.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import ochy_async
from tests.support.servers import PostgresServer

PACKAGE = Path(ochy_async.__file__).parent
TESTS = Path(__file__).parents[1]
SCENARIOS = 1_000

Edit = tuple[str, str, str]
"""A file, a text that it contains once, and the text that replaces it."""

NO_COMPARE: Edit = ("journal/transitions.py", "if entry.version != version:", "if False:")
NO_RIVALS: Edit = (
    "policy/reconciliation.py",
    "if fits and not any(_possible(other, only, known, _window(other)) for other in other_starts)",
    "if fits",
)
PERMISSION_IGNORED: Edit = (
    "batch/recorder.py",
    "        except JournalConflict:\n            raise\n        except JournalError as error:\n"
    "            self.journal_failed(error)\n            raise\n\n    async def record_cut_short",
    "        except JournalError:\n            return entry\n\n    async def record_cut_short",
)
PERMISSION_NOT_AWAITED: Edit = (
    "starting.py",
    "await self.permission.take()",
    "__import__('asyncio').ensure_future(self.permission.take())",
)
SIMULATION_FAULTS: dict[str, list[Edit]] = {
    "a delivery ends a wait as a success": [
        (
            "waiting.py",
            'schedule.hinted()\n                    cause = "woken"',
            "yield __import__('attrs').evolve(state, status=Status.SUCCESS)\n                    return",
        ),
    ],
    "a delivery ends a wait as a failure": [
        (
            "waiting.py",
            'schedule.hinted()\n                    cause = "woken"',
            "yield __import__('attrs').evolve(state, status=Status.FAILED)\n                    return",
        ),
    ],
    "a delivery that cannot be read raises": [
        (
            "webhooks/door.py",
            "return Reply(error.status or BAD_REQUEST.status)",
            "raise RuntimeError from error",
        ),
    ],
    "an uncertain start is sent again": [
        ("policy/clip_states.py", "State.UNCERTAIN: Step.RECONCILE", "State.UNCERTAIN: Step.START"),
        ("policy/clip_states.py", "frozenset({State.STARTED, State.OPEN})", "frozenset({State.INTENDED})"),
    ],
    "what a killed process was sending counts as not sent": [
        ("policy/clip_states.py", "State.SENDING: Step.RECONCILE", "State.SENDING: Step.START"),
    ],
    "what a killed process has not sent completely counts as sent": [
        ("policy/clip_states.py", "Step.START if CUT_SHORT_IS_FREE else Step.RECONCILE", "Step.RECONCILE"),
    ],
    "the last chunk leaves before it is permitted": [
        (
            "starting.py",
            "                if sent >= self.clip.size:\n"
            "                    await self._permit_last_chunk()\n"
            "                yield chunk\n",
            "                yield chunk\n"
            "                if sent >= self.clip.size:\n"
            "                    await self._permit_last_chunk()\n",
        ),
    ],
    "the last chunk leaves while its permission is being stored": [PERMISSION_NOT_AWAITED],
    "the last chunk leaves although its permission was not stored": [PERMISSION_IGNORED],
    "all attempts have the same token": [("batch/recorder.py", "secrets.token_hex(16)", "'token'")],
    "an attempt has the token of the one before": [
        ("batch/recorder.py", "= secrets.token_hex(16)", "= entry.token or secrets.token_hex(16)"),
        ("batch/recorder.py", "state=State.INTENDED, token=None, at", "state=State.INTENDED, at"),
    ],
    "a connection lost after the last byte counts as not sent": [
        (
            "policy/start_fate.py",
            "Fate.NOT_HAPPENED if phase is Phase.NOT_SENT else fate_while_sending(complete=phase is Phase.COMPLETE)",
            "Fate.NOT_HAPPENED",
        ),
    ],
    "a 5xx counts as not started": [
        (
            "policy/start_fate.py",
            "fate_while_sending(complete=response.request_complete)",
            "Fate.NOT_HAPPENED",
        ),
    ],
    "a success without an id counts as refused": [
        ("policy/start_fate.py", "Fate.ACCEPTED if _is_id(analysis_id) else Fate.UNCERTAIN", "Fate.REFUSED"),
    ],
    "the intent is not recorded": [
        (
            "batch/recorder.py",
            "return await self.journal.put(entry)",
            "return evolve(entry, version=entry.version + 1)",
        ),
    ],
    "the id is not recorded before the first poll": [
        (
            "batch/submit.py",
            "await job.record(State.STARTED, analysis_id",
            "job.entry = evolve(job.known, state=State.STARTED, analysis_id",
        ),
    ],
    "the results are not recorded before the outcome": [
        (
            "batch/watch.py",
            "await job.record(State.ANALYZED, results_to_store(state))",
            "job.entry = __import__('attrs').evolve(job.known, state=State.ANALYZED)",
        ),
    ],
    "the first of two candidates is adopted": [
        ("policy/reconciliation.py", "if len(found.candidates) != 1:", "if not found.candidates:"),
        ("policy/reconciliation.py", "(only,) = found.candidates", "only = found.candidates[0]"),
        NO_RIVALS,
    ],
    "other possible starts of an analysis are ignored": [NO_RIVALS],
    "an analysis that is already known is a candidate": [
        ("policy/reconciliation.py", "each.analysis_id not in known and", "True and"),
    ],
    "an empty list proves that nothing was started": [
        (
            "batch/reconcile.py",
            "return _unresolved(job, answered, lookup.error)",
            "job.entry = await context.recorder.record_not_started(job.known, ''); return None",
        ),
    ],
    "a lookup without tagging ignores that the start was tagged": [
        ("batch/reconcile.py", "tagged = await context.subject_pool.tags(entry.subject_id)", "tagged = True"),
        ("batch/reconcile.py", "list_call(entry.subject_id)", "list_call()"),
    ],
    "missing credits do not stop the batch": [
        ("policy/credit_guard.py", "if self._next_attempt - self._empty_since > self.patience:", "if False:"),
    ],
    "a rejected key does not stop the batch": [
        ("policy/credit_guard.py", "if isinstance(error, KeyRefused):", "if False:"),
        ("policy/credit_guard.py", "(error, BuyCredits | KeyRefused)", "(error, BuyCredits)"),
    ],
    "credits are not reserved before they are spent": [
        ("policy/credit_guard.py", "self.spent += 1\n        return 0.0", "return 0.0"),
        ("policy/credit_guard.py", "self.spent -= 1", "pass"),
    ],
    "an uncertain start returns its credit": [
        (
            "batch/submit.py",
            "latest=latest, reason=reason)",
            "latest=latest, reason=reason, credits=job.known.credits - 1); job.context.guard.release_credit()",
        ),
    ],
    "credits of earlier runs do not count": [
        ("batch/recorder.py", "= totals.committed, totals.analyses", "= 0, totals.analyses"),
    ],
    "two starts share a tagging subject": [
        (
            "batch/tagging.py",
            "if self._free:\n            return self._free.pop()",
            "if self._all:\n            return min(self._all)",
        ),
    ],
    "a tagging subject of an uncertain start is used again": [
        ("batch/tagging.py", "sorted(self._all - self._retired - used)", "sorted(self._all - self._retired)"),
        ("journal/transitions.py", "frozenset({State.INTENDED, State.SENDING, State.UNCERTAIN})", "frozenset[State]()"),
    ],
    "the tagging subject of a rejected upload is used again": [
        ("batch/submit.py", "await context.subject_pool.retire(", "context.subject_pool.release("),
    ],
    "a clock offset hides analyses of a tagging subject": [
        ("policy/reconciliation.py", "window = None if own_subject else _window(start)", "window = _window(start)"),
    ],
    "the request is not part of the identity": [
        ("policy/identity.py", "[_VERSION, content, fields, account, origin]", "[_VERSION, content, account, origin]"),
    ],
    "clips of one identity are started concurrently, without compare-and-set": [
        ("batch/pipeline.py", "async with key_lock.lock:", "if key_lock.lock:"),
        NO_COMPARE,
        ("journal/transitions.py", "if entry.state not in TRANSITIONS[before]:", "if False:"),
    ],
    "the number of uploads is not limited": [
        ("batch/submit.py", "async with context.uploads, ", "async with "),
    ],
    "the number of analyses in flight is not limited": [
        ("batch/pipeline.py", "async with self.context.in_flight:", "if self.context.in_flight:"),
    ],
    "an uncertain clip is reopened with the finished ones": [
        ("policy/clip_states.py", "FINISHED: Final = frozenset({", "FINISHED: Final = frozenset({State.UNCERTAIN, "),
    ],
    "finished clips are reopened beside unfinished ones": [
        ("batch/reopen.py", "return {} if self.unfinished else self.finished", "return self.finished"),
        ("batch/reopen.py", "or pending.get(entry.key, entry.version) != entry.version", ""),
    ],
    "the earlier analysis of a reopened clip is forgotten": [
        ("batch/recorder.py", "state=State.OPEN, analysis_id=None, started_at=None", "state=State.OPEN"),
    ],
    "a clip that the server refused is sent again": [
        ("policy/clip_states.py", "State.REFUSED: Step.NOTHING", "State.REFUSED: Step.START"),
        ("policy/clip_states.py", "State.REFUSED: frozenset({", "State.REFUSED: frozenset({State.INTENDED, "),
    ],
}


CRASH_TESTS = ("robustness/test_crash_points.py::test_a_command_that_reopens_may_be_repeated_after_a_crash",)
LOOKUP_TESTS = ("batch/test_unresolved.py", "batch/test_batch.py")
TENDING_TESTS = ("batch/test_tending.py",)
ACCOUNT_TESTS = ("batch/test_account_lists.py",)
BATCH_FAULTS: dict[str, tuple[list[Edit], tuple[str, ...]]] = {
    "each repetition of a command reopens the clips": (
        [("batch/reopen.py", "or pending.get(entry.key, entry.version) != entry.version", "")],
        CRASH_TESTS,
    ),
    "a reopening is recorded as done before its clips are open": (
        [
            ("batch/engine.py", "opened = set(await pending_reopens(journal))", "opened = set[str]()"),
            (
                "batch/reopen.py",
                "await journal.put_all([",
                "await journal.set_note(NOTE + name, '{}')\n    await journal.put_all([",
            ),
        ],
        CRASH_TESTS,
    ),
    "the time window of a killed process ends now": (
        [("batch/reconcile.py", "latest=min(context.now(), deadline)", "latest=context.now()")],
        LOOKUP_TESTS,
    ),
    "analyses started by this session are candidates": (
        [
            (
                "batch/reconcile.py",
                "await context.journal.known(listed.ids) | context.core.state.started_ids",
                "await context.journal.known(listed.ids)",
            ),
            (
                "batch/reconcile.py",
                "attempt_of(entry, context.now()), context.core.state.started_ids",
                "attempt_of(entry, context.now()), frozenset()",
            ),
        ],
        LOOKUP_TESTS,
    ),
    "an analysis created by a rejected upload is ignored": (
        [
            (
                "batch/submit.py",
                "await remember_release(context.journal, job.known, context.now())",
                "pass",
            )
        ],
        LOOKUP_TESTS,
    ),
    "a start counts as not sent until its response is read": (
        [
            (
                "starting.py",
                "core = self.core\n        started:",
                "core, self.fate = self.core, Fate.NOT_HAPPENED\n        started:",
            )
        ],
        ("robustness/test_interrupted_starts.py",),
    ),
    "the last chunk is sent without being counted": (
        [("starting.py", "if sent >= self.clip.size:", "if False:")],
        ("robustness/test_interrupted_starts.py",),
    ),
    "a clip that a live worker is processing is released": (
        [("batch/resolve.py", "if holder is not None:", "if False:")],
        ("batch/test_resolve.py",),
    ),
    "tending opens a start that may have been sent": (
        [
            ("batch/tending.py", "if _is_charged(job):", "if job.known.analysis_id:"),
            ("batch/tending.py", "if job.is_left_unsent() and not", "if not"),
        ],
        TENDING_TESTS,
    ),
    "a lookup takes a list that was asked for before it began": (
        [("batch/account_lists.py", "if self._read <= begun:", "if not self._read:")],
        ACCOUNT_TESTS,
    ),
    "a lookup takes the list that was under way when it began": (
        [("batch/account_lists.py", "begun = self._begun", "begun = self._read")],
        ACCOUNT_TESTS,
    ),
    "a lookup takes an older list if the one that lists is cancelled": (
        [("batch/account_lists.py", "number = self._begun", "number = self._read = self._begun")],
        ACCOUNT_TESTS,
    ),
    "a lookup sees only the time of the first start that waits": (
        [("batch/account_lists.py", "may_matter(self._waiting, ", "may_matter(self._waiting[:1], ")],
        ACCOUNT_TESTS,
    ),
    "an analysis is adopted although others were left out": (
        [("batch/reconcile.py", " if account.complete else None", "")],
        ACCOUNT_TESTS,
    ),
    "a released start just before those that wait is forgotten": (
        [("policy/reconciliation.py", "- 2 * SKEW", "- SKEW")],
        ACCOUNT_TESTS,
    ),
    "tending takes a clip that a live worker holds": (
        [("batch/tending.py", "if not alone:", "if False:")],
        TENDING_TESTS,
    ),
}
"""Faults that no scenario of the simulation can show, and the tests that find them."""

DOOR_TESTS = ("webhooks/test_asgi.py", "webhooks/test_hooks.py")
WEBHOOK_FAULTS: dict[str, tuple[list[Edit], tuple[str, ...]]] = {
    "the token is not compared": (
        [("webhooks/door.py", "if not self.tokens.match(head.token):", "if False:")],
        DOOR_TESTS,
    ),
    "the token is logged": (
        [
            (
                "webhooks/door.py",
                "        seconds = self.rate",
                "        __import__('logging').getLogger().debug(head.token)\n        seconds = self.rate",
            )
        ],
        DOOR_TESTS,
    ),
    "the token is shown by a repr": (
        [("webhooks/door.py", "token: str = field(repr=False)", "token: str")],
        ("webhooks/test_hooks.py",),
    ),
    "the token is not masked in access logs": (
        [("webhooks/tokens.py", "text = text.replace(token, MASK)", "pass")],
        ("webhooks/test_access_logs.py",),
    ),
    "strangers are counted as deliveries": (
        [
            (
                "webhooks/door.py",
                "if not self.tokens.match(head.token):",
                "if self.rate_limit.admit(now) or not self.tokens.match(head.token):",
            )
        ],
        DOOR_TESTS,
    ),
    "a body is read without a cap": (
        [("webhooks/door.py", "            if len(content) > MAX_DELIVERY_BYTES:\n                break\n", "")],
        DOOR_TESTS,
    ),
    "a body is answered before it is read": (
        [("webhooks/door.py", "        content = None\n", "        return NO_CONTENT\n")],
        DOOR_TESTS,
    ),
    "a delivery is acted on before it is answered": (
        [
            (
                "webhooks/asgi.py",
                "        with suppress(OSError):",
                "        await self._act(reply)\n        with suppress(OSError):",
            )
        ],
        DOOR_TESTS,
    ),
    "a delivery ends a wait": (
        [
            (
                "waiting.py",
                "                yield state\n                if state.finished:",
                "                yield state\n                if state.finished or cause == 'woken':",
            )
        ],
        DOOR_TESTS,
    ),
    "own hints that come back wake again": (
        [("webhooks/relay.py", "if hint is not None and hint.node != self.node:", "if hint is not None:")],
        ("webhooks/test_relay.py",),
    ),
}


def planted(folder: Path, edits: list[Edit]) -> None:
    """Copies the library to `folder` and plants the faults."""
    shutil.copytree(PACKAGE, folder / "ochy_async", ignore=shutil.ignore_patterns("__pycache__"))
    for name, right, wrong in edits:
        path = folder / "ochy_async" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(right) == 1, f"{name} must contain this text exactly once: {right}"
        path.write_text(text.replace(right, wrong), encoding="utf-8")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(folder), str(TESTS.parent))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("edits", SIMULATION_FAULTS.values(), ids=SIMULATION_FAULTS)
def test_a_fault_is_found_by_the_simulation(edits: list[Edit], tmp_path: Path) -> None:
    """The simulation fails in some scenario and says why."""
    planted(tmp_path, edits)
    found = run(tmp_path, "-m", "tests.support.simulation", "--scenarios", str(SCENARIOS), "--once")
    assert found.returncode == 1, found.stdout + found.stderr[-2000:]
    assert ": " in found.stdout.splitlines()[-1], found.stderr[-2000:]


WORKER_FAULTS: dict[str, list[Edit]] = {
    "what a dead worker was sending is sent again": SIMULATION_FAULTS[
        "what a killed process was sending counts as not sent"
    ],
    "a change is not compared with what is stored": [NO_COMPARE],
    "what a live worker intends to send is opened": [
        (
            "batch/orphans.py",
            "entry = await context.journal.get(found.key) if claimed else None",
            "entry = await context.journal.get(found.key)",
        ),
    ],
    "the limit of all workers is not checked together with the intent": [
        (
            "batch/recorder.py",
            "return await self.journal.put(entry, most=self.guard.limit)",
            "return await self.journal.put(entry)",
        ),
    ],
    "claims are kept": [
        (
            "batch/workers.py",
            "            await self.journal.leave(name)\n        self.held.discard(name)",
            "            pass",
        ),
    ],
    "a paid id whose entry has moved on is lost": [
        (
            "batch/recorder.py",
            "            return await self._store_on_top(changed, results, conflict)",
            "            raise",
        ),
    ],
    "a paid id is not added to an entry that is about another start": [
        (
            "batch/recorder.py",
            "            await self.journal.add_analysis(changed.key, changed.analysis_id, changed.reason)\n",
            "            pass\n",
        ),
        (
            "batch/recorder.py",
            "            stored = await self.journal.add_analysis(changed.key, analysis_id, changed.reason)\n",
            "            pass\n",
        ),
    ],
    "the credit of a start that is opened counts as spent": [
        ("batch/orphans.py", "credits=entry.credits - 1", "credits=entry.credits"),
        ("batch/pipeline.py", "credits=job.known.credits - 1", "credits=job.known.credits"),
    ],
}
"""Faults that only several workers of one journal show."""


@pytest.mark.parametrize("edits", WORKER_FAULTS.values(), ids=WORKER_FAULTS)
def test_a_fault_is_found_by_simulated_workers(edits: list[Edit], tmp_path: Path) -> None:
    """Some world of several workers fails and says why."""
    planted(tmp_path, edits)
    found = run(tmp_path, "-m", "tests.support.simulation", "--workers", "--scenarios", str(SCENARIOS), "--once")
    assert found.returncode == 1, found.stdout + found.stderr[-2000:]
    assert ": " in found.stdout.splitlines()[-1], found.stderr[-2000:]


OFF: Edit = ("policy/start_fate.py", "CUT_SHORT_IS_FREE: Final[bool] = True", "CUT_SHORT_IS_FREE: Final[bool] = False")
IGNORING_THE_SWITCH: dict[str, Edit] = {
    "for what a process left behind": (
        "policy/clip_states.py",
        "Step.START if CUT_SHORT_IS_FREE else Step.RECONCILE",
        "Step.START",
    ),
    "for an attempt that fails": (
        "policy/start_fate.py",
        "fate_while_sending(complete=phase is Phase.COMPLETE)",
        "(Fate.UNCERTAIN if phase is Phase.COMPLETE else Fate.NOT_HAPPENED)",
    ),
}
CHARGED = ("-m", "tests.support.simulation", "--scenarios", str(SCENARIOS), "--cut-short-is-charged", "--once")
"""Worlds in which a start that is cut short costs a credit, against what the library assumes."""


@pytest.mark.parametrize("edits", [[OFF, edit] for edit in IGNORING_THE_SWITCH.values()], ids=IGNORING_THE_SWITCH)
def test_ignoring_the_switch_is_found_by_the_simulation(edits: list[Edit], tmp_path: Path) -> None:
    """The assumption is off, but one place still assumes it: where the service charges, clips are charged twice."""
    planted(tmp_path, edits)
    found = run(tmp_path, *CHARGED)
    assert found.returncode == 1, found.stdout + found.stderr[-2000:]
    assert ": " in found.stdout.splitlines()[-1], found.stderr[-2000:]


def test_one_switch_turns_the_assumption_off(tmp_path: Path) -> None:
    """Without the assumption, a service that charges for starts that were cut short charges nothing twice."""
    planted(tmp_path, [OFF])
    found = run(tmp_path, *CHARGED)
    assert found.returncode == 0, found.stdout + found.stderr[-2000:]


def test_the_library_stands_on_the_assumption(tmp_path: Path) -> None:
    """With it, such a service charges twice: the worlds of the test above do charge."""
    planted(tmp_path, [])
    assert run(tmp_path, *CHARGED).returncode == 1


def assert_tests_fail(folder: Path, *arguments: str) -> None:
    """Runs tests on the copy in `folder` and expects failures.

    In one process, since several that stop at a first failure exit with another code. The summary of failures may be
    missing: a fault that leaves something open also raises while pytest exits. Nobody reads how two values differ,
    which takes pytest minutes for large ones.
    """
    options = ("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--assert=plain")
    found = run(folder, "-m", "pytest", *options, *arguments)
    assert found.returncode == 1, found.stdout[-2000:] + found.stderr[-2000:]
    assert "= FAILURES =" in found.stdout


JOURNAL_NOT_USED: Edit = (
    "cli/commands/analyze.py",
    "        journal=path,\n        default_journal=True,",
    "        default_journal=False,",
)
LIMIT_OF_ALL_RUNS: Edit = (
    "cli/commands/analyze.py",
    '"max_credits": None, "max_credits_per_run": options["max_credits"]',
    '"max_credits": options["max_credits"]',
)
ANY_KEY: Edit = ("cli/default_journal.py", "if not existing or same_account is False:", "if not same_account:")


@pytest.mark.parametrize(
    "edit", [JOURNAL_NOT_USED, LIMIT_OF_ALL_RUNS, ANY_KEY], ids=["journal not used", "limit of all runs", "any key"]
)
def test_a_command_line_that_pays_twice_is_found(edit: Edit, tmp_path: Path) -> None:
    """The journal of the state folder is not used, limits credits over all runs, or is a new one for a rotated key."""
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / "cli/test_default_journal.py"))


@pytest.mark.parametrize(("edits", "suite"), BATCH_FAULTS.values(), ids=BATCH_FAULTS)
def test_a_fault_of_a_batch_is_found_by_its_tests(edits: list[Edit], suite: tuple[str, ...], tmp_path: Path) -> None:
    """The named tests fail on the copy with the fault."""
    planted(tmp_path, edits)
    assert_tests_fail(tmp_path, *(str(TESTS / name) for name in suite))


@pytest.mark.parametrize(("edits", "suite"), WEBHOOK_FAULTS.values(), ids=WEBHOOK_FAULTS)
def test_a_fault_of_webhooks_is_found_by_their_tests(edits: list[Edit], suite: tuple[str, ...], tmp_path: Path) -> None:
    """The named tests fail on the copy with the fault."""
    planted(tmp_path, edits)
    assert_tests_fail(tmp_path, *(str(TESTS / name) for name in suite))


SHARED_JOURNAL_FAULTS: dict[str, tuple[str, Edit]] = {
    "each worker uploads as if it were alone": (
        "ceiling_of_uploads",
        (
            "batch/submit.py",
            "async with context.uploads, context.workers.upload_slot():",
            "async with context.uploads:",
        ),
    ),
    "each worker polls as if it were alone": (
        "ceiling_of_polls",
        ("waiting.py", "(ahead := await reserve()) > 0", "await reserve() > 1000"),
    ),
    "an intent is not looked up after a failover": (
        "intent_is_looked_up_after",
        ("batch/failover.py", "_DOUBTFUL: Final = UNRESOLVED | UNSENT", "_DOUBTFUL: Final = UNRESOLVED"),
    ),
    "a lost start explains no analysis of a runner": (
        "failover_has_lost",
        ("policy/reconciliation.py", " or not start.view  #", "  #"),
    ),
    "a tagging subject is proof after a failover": (
        "failover_has_lost",
        ("batch/failover.py", "subject_id, reason = None, ", "reason = "),
    ),
    "starts are admitted after a failover": (
        "while_lookups_fail",
        ("batch/context.py", "        if self.journal.failover:\n", "        if False:\n"),
    ),
    "an intent is opened after a failover": (
        "not_opened_after_a_failover",
        ("batch/clip_job.py", " in UNSENT and not self.context.journal.failover", " in UNSENT"),
    ),
    "a worker asks for credits of which another knows that there are none": (
        "workers_wait_for_credits",
        ("batch/submit.py", "await context.workers.pause(RETRY_INTERVAL)", "pass"),
    ),
    "two workers take the same tagging subject": (
        "do_not_share_a_tagging_subject",
        (
            "batch/tagging.py",
            "self._free, self._unclaimed = ([], free) if journal.shared else (free, [])",
            "self._free = free",
        ),
    ),
    "a tagging subject that was retired meanwhile is used": (
        "retired_by_another_worker or retired_while_a_worker_had_it",
        ("journal/memory.py", 'not self.subjects[entry.subject_id or ""]', "False"),
    ),
    "the tagging subject of another worker counts as the user's own": (
        "of_another_worker_is_looked_up",
        ("batch/tagging.py", "            self._all.update(await journal.tagging_subjects())\n", "            pass\n"),
    ),
    "a tagging subject is lost with each intent that is refused": (
        "of_a_refused_intent",
        ("batch/submit.py", "            context.subject_pool.release(tag)\n", "            pass\n"),
    ),
    "a worker with a wrong clock is not refused": (
        "whose_clock_is_wrong",
        ("batch/engine.py", "            raise error\n", "            pass\n"),
    ),
    "a worker whose clock was changed goes on": (
        "whose_clock_becomes_wrong",
        ("batch/workers.py", "self.clock_error = await self.wrong_clock()", "pass"),
    ),
    "two workers act on a clip": (
        "two_workers_with_the_same or refused_clip_is_sent",
        ("batch/pipeline.py", "if self.context.journal.shared and not self._is_finished(job):", "if False:"),
    ),
    "the credits of dead workers are lost": (
        "dead_worker_is_given_back",
        ("batch/orphans.py", "            await open_orphans(context)\n", ""),
    ),
    "each of two workers names the account of a new journal": (
        "agree_on_the_account",
        ("batch/ownership.py", "if journal.shared and not await journal.notes(kind):", "if False:"),
    ),
    "handing over waits for polls": (
        "hands_over",
        ("batch/context.py", "        for scope in tuple(self._interruptible):\n            scope.cancel()\n", ""),
    ),
}


@pytest.mark.parametrize(("which", "edit"), SHARED_JOURNAL_FAULTS.values(), ids=SHARED_JOURNAL_FAULTS)
def test_a_fault_of_several_workers_is_found_by_their_tests(which: str, edit: Edit, tmp_path: Path) -> None:
    """The named tests of workers that share a journal fail."""
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / "batch/test_workers.py"), "-k", which)


CONTRACT: Final = "journal/test_journal.py"
POSTGRES: Final = "journal/test_postgres.py"
SCHEMA: Final = "journal/postgres/schema.py"
POSTGRES_FAULTS: dict[str, tuple[str, str, Edit]] = {
    "a change is stored whatever version it starts from": (
        CONTRACT,
        "another_version_is_a_conflict and postgres",
        (SCHEMA, "IF coalesce(stored.version, 0) <> versions[i]\n            OR coalesce", "IF coalesce"),
    ),
    "a change whose confirmation was lost is a conflict": (
        POSTGRES,
        "confirmation_is_lost",
        (SCHEMA, "IF EXISTS (SELECT FROM {schema}.history h", "IF false AND EXISTS (SELECT FROM {schema}.history h"),
    ),
    "an equal change of another worker counts as one that was sent before": (
        POSTGRES,
        "not_taken_for_a_lost_one",
        (SCHEMA, " AND h.change = new_change) THEN", ") THEN"),
    ),
    "the limit of all workers is not compared": (
        CONTRACT,
        "limit_counts_intents and postgres",
        (SCHEMA, "IF total > most THEN", "IF false THEN"),
    ),
    "two starts that meet have the same tagging subject": (
        POSTGRES,
        "meet_on_the_server and subject",
        (SCHEMA, "CREATE UNIQUE INDEX entries_tag", "CREATE INDEX entries_tag"),
    ),
    "two clips have the same analysis": (
        CONTRACT,
        "belongs_to_one_entry and postgres",
        (SCHEMA, " AND a.key <> keys[i]) THEN", " AND false) THEN"),
    ),
    "a claim outlives its worker": (
        CONTRACT,
        "stops_beating_end and postgres",
        (SCHEMA, "WHERE c.name = claimed AND w.until > clock_timestamp()\n$$", "WHERE c.name = claimed\n$$"),
    ),
    "a worker that opens ends a claim that was taken meanwhile": (
        POSTGRES,
        "taken_while_another_worker_opens",
        (
            SCHEMA,
            "DELETE FROM {schema}.claims c WHERE NOT EXISTS\n"
            "    (SELECT FROM {schema}.workers w WHERE w.name = c.worker AND w.until > clock_timestamp())",
            "DELETE FROM {schema}.claims WHERE name IN (SELECT c.name FROM {schema}.claims c WHERE NOT EXISTS\n"
            "    (SELECT FROM {schema}.workers w WHERE w.name = c.worker AND w.until > clock_timestamp()))",
        ),
    ),
}
"""Faults of the SQL, and the tests that find them on a real server."""


@pytest.mark.parametrize(("suite", "which", "edit"), POSTGRES_FAULTS.values(), ids=POSTGRES_FAULTS)
def test_a_fault_of_the_journal_in_postgres_is_found(suite: str, which: str, edit: Edit, tmp_path: Path) -> None:
    """The named tests fail."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
    if reason := PostgresServer.missing():
        pytest.skip(reason)
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / suite), "-k", which)


def test_a_journal_without_compare_and_set_is_found_by_the_contract_tests(tmp_path: Path) -> None:
    """A single process with its locks never needs the comparison, so only the tests of the contract show it."""
    planted(tmp_path, [NO_COMPARE])
    assert_tests_fail(tmp_path, str(TESTS / "journal/test_journal.py"))


OTHER_FAULTS: dict[str, tuple[str, str, Edit]] = {
    "a start reuses a connection": (
        "test_transport.py",
        "connection_of_its_own",
        ("http_client.py", "force_close=upload", "force_close=False"),
    ),
    "the spelling of the base URL is significant": (
        "batch/test_ownership.py",
        "five_spellings",
        ("policy/base_urls.py", 'return str(url).rstrip("/")', 'return base_url.rstrip("/")'),
    ),
    "a journal accepts any server": (
        "batch/test_ownership.py",
        "another_base_url",
        ("batch/ownership.py", "if await _is_new(journal, ORIGIN + server) and not same:", "if False:"),
    ),
    "a clip of an older journal is found under one spelling only": (
        "batch/test_ownership.py",
        "older",
        ("batch/pipeline.py", "for key in keys if len(keys) > 1 else ():", "for key in ():"),
    ),
    "a response is read without yielding to the event loop": (
        "test_transport.py",
        "pieces_of_an_answer",
        ("transport.py", "                if not first:\n                    await checkpoint()\n", ""),
    ),
    "a compressed response is decompressed at once": (
        "protocol/test_compression.py",
        "pieces_are_bounded or bomb",
        ("protocol/compression.py", "member.decompress(compressed, PIECE)", "member.decompress(compressed)"),
    ),
    "a truncated response is accepted": (
        "protocol/test_compression.py",
        "truncated_answer",
        ("protocol/compression.py", "if self._member is not None and not self._member.eof:", "if False:"),
    ),
    "responses are requested in any encoding": (
        "test_transport.py",
        "encodings_with_bounded",
        ("protocol/compression.py", '"gzip, deflate"', '"gzip, deflate, br"'),
    ),
    "a link is recognized by its scheme only": (
        "protocol/test_redaction.py",
        "every_spelling",
        ("protocol/redaction.py", "_ADDRESS.search(each) or _SIGNED_PARAMETER.search(each)", '"://" in each'),
    ),
    "escapes hide a link": (
        "protocol/test_redaction.py",
        "every_spelling",
        ("protocol/redaction.py", "        text = plainer\n", "        return\n"),
    ),
    "raw data are searched for one spelling only": (
        "protocol/test_redaction.py",
        "no_file_of_a_batch",
        ("batch/output/collector.py", "if not may_contain_links(body):", "if b'://' not in body:"),
    ),
    "a pickle contains the original JSON": (
        "protocol/test_redaction.py",
        "pickle",
        ("protocol/answer.py", "(redact_signed_links(dict(self)),)", "(dict(self),)"),
    ),
    "an answer shows the JSON that it shares": (
        "protocol/test_reading.py",
        "link_is_never_shown",
        ("protocol/fast_path.py", "] = value.copy", "] = value"),
    ),
    "the fast path overlooks an unknown key": (
        "protocol/test_fast_path.py",
        "reads_what_the_full_converter_reads",
        ("protocol/fast_path.py", "if len(fields) <= len(value)", "if len(fields) < len(value)"),
    ),
    "signed URLs of any server may point to this machine": (
        "test_storage.py",
        "links_of_a_remote_server",
        ("storage.py", "return loopback and parts.scheme in", "return parts.scheme in"),
    ),
    "a wrapper of the client sees the key": (
        "test_transport.py",
        "patched_after_import",
        (
            "http_client.py",
            'unwrap(getattr(client, "_request", client.request))',
            "lambda http, *a, **k: http.request(*a, **k)",
        ),
    ),
    "middlewares see the key": (
        "test_transport.py",
        "middlewares",
        ("http_client.py", "allow_redirects=False, middlewares=(), **options", "allow_redirects=False, **options"),
    ),
    "click's messages reach the terminal unchanged": (
        "cli/test_inputs_and_texts.py",
        "as_a_command",
        ("cli/app.py", "fitted(clean_lines(mask_addresses(error.message)), ", "fitted(mask_addresses(error.message), "),
    ),
    "a traceback shows the URL of a webhook": (
        "test_session.py",
        "url_of_a_webhook",
        ("session.py", "        del url  # so that no frame in a traceback holds its token\n", ""),
    ),
    "any end of a webhook's URL is replaced as a token": (
        "cli/test_webhook.py",
        "without_a_token_is_not_changed",
        (
            "cli/commands/webhook.py",
            "    if not url.ends_in_token:\n        raise click.UsageError(_NOT_",
            "    if False:\n        raise click.UsageError(_NOT_",
        ),
    ),
    "the first line of a request that is not HTTP is logged": (
        "cli/test_webhook_listen.py",
        "that_is_not_http",
        ("cli/webhook_server.py", "isinstance(record.exc_info[1], HttpProcessingError)", "False"),
    ),
    "a cancelled close leaves the decoder running": (
        "preflight/test_prober.py",
        "although_it_is_cancelled",
        ("cancellation.py", "                cancelled = error\n", "                raise\n"),
    ),
    "a decoder gets the entire environment": (
        "preflight/test_prober.py",
        "variables_that_it_needs",
        ("preflight/process.py", "env=child_environment(os.environ)", "env=dict(os.environ)"),
    ),
    "a decoder may gain privileges": (
        "preflight/test_prober.py",
        "gain_privileges",
        ("preflight/child.py", "    _forbid_privileges()\n    _set_timer", "    _set_timer"),
    ),
    "the name of a Windows device is a file name": (
        "batch/test_output.py",
        "unsafe_ids",
        ("batch/output/folder.py", " and not _RESERVED.fullmatch(analysis_id)", ""),
    ),
    "a returned credit is returned twice": (
        "policy/test_credit_guard.py",
        "counts_intents",
        ("policy/credit_guard.py", "self.spent -= 1", "self.spent -= 2"),
    ),
    "an interruption forgets an accepted start": (
        "batch/test_batch.py",
        "accepted_start_that_is_interrupted",
        ("starting.py", "        self.started, self.fate = started, Fate.ACCEPTED\n", ""),
    ),
    "a subject of the user becomes a tagging subject": (
        "batch/test_subjects.py",
        "never_tags",
        ("batch/tagging.py", "if subject_id in self._all - self._retired and subject_id not", "if subject_id not"),
    ),
    "a retried clip has negative costs": (
        "batch/test_batch.py",
        "did_not_happen_releases",
        ("batch/recorder.py", "credits=before.credits + 1", "credits=before.credits - 1"),
    ),
    "a derived session polls by a rate limit of its own": (
        "test_options.py",
        "within_the_rate_limit",
        (
            "waiting.py",
            "return evolve(self, core=core, ",
            "return evolve(self, rate_limit=PollRateLimit(), core=core, ",
        ),
    ),
    "a derived session does not know what its parent started": (
        "test_options.py",
        "started_ids_are_shared",
        (
            "core.py",
            "            listener=self.listener if listener is None else listener,\n",
            "            state=SessionState(open=True),\n",
        ),
    ),
    "a start that its timeout ends after the last chunk counts as not charged": (
        "test_timeouts.py",
        "uncertain or whenever",
        (
            "starting.py",
            "        if self.fate is Fate.UNCERTAIN:\n            raise",
            "        if False:\n            raise",
        ),
    ),
    "a start whose timeout passed is sent again": (
        "test_timeouts.py",
        "uncertain or whenever",
        (
            "starting.py",
            "        if self.fate is Fate.UNCERTAIN:\n            raise",
            "        if self.fate is Fate.UNCERTAIN:\n            await self._attempt(9)\n            raise",
        ),
    ),
    "the timeout of a call is ignored": (
        "test_timeouts.py",
        "ends_with_its_timeout",
        ("core.py", "if self.timeout is None else self.timeout.until", ""),
    ),
    "the answer to a start is reported before its id is stored": (
        "test_responses.py",
        "loses_nothing",
        ("starting.py", "at_last.callback(core.report_response, call, ", "core.report_response(call, "),
    ),
    "any header of an answer is kept": (
        "test_responses.py",
        "one_short_line",
        ("protocol/headers.py", "for name in PUBLIC_HEADERS if name in headers}", "for name in headers}"),
    ),
    "a header may repeat the key": (
        "test_responses.py",
        "repeats_is_masked",
        ("transport.py", "name: key.redact_header(received[name])", "name: received[name]"),
    ),
    "closing a derived session closes its parent": (
        "test_options.py",
        "cannot_be_opened_or_closed",
        ("session.py", "        if self._derived:\n", "        if False:\n"),
    ),
    "any event loop is accepted": (
        "test_transport.py",
        "another_kind_of_loop",
        ("session.py", "        check_loop()\n", ""),
    ),
    "stopping a batch starts the waiting clips": (
        "policy/test_credit_guard.py",
        "already_read",
        ("batch/context.py", "self.guard.stop(StopReason(reason))", "pass"),
    ),
    "starts are made after the journal has failed": (
        "policy/test_credit_guard.py",
        "intent_that_cannot or entry_that_cannot",
        ("batch/recorder.py", "self.guard.stop(", "repr("),
    ),
    "an intent that cannot be stored does not stop the start": (
        "policy/test_credit_guard.py",
        "intent_that_cannot",
        (
            "batch/recorder.py",
            "        except JournalError as error:\n            self.journal_failed(error)\n"
            "            raise\n\n    async def record_sending",
            "        except KeyError as error:\n            self.journal_failed(error)\n"
            "            raise\n\n    async def record_sending",
        ),
    ),
    "an unreadable clip counts as a new one": (
        "policy/test_credit_guard.py",
        "plan_does_not_take",
        (
            "batch/recorder.py",
            "            raise\n\n    async def record_intent",
            "            return None\n\n    async def record_intent",
        ),
    ),
    "a retried clip costs two credits": (
        "policy/test_credit_guard.py",
        "costs_one_credit",
        ("batch/recorder.py", "credits=before.credits + 1", "credits=before.credits + 2"),
    ),
    "a key that is rejected in a lookup does not stop the batch": (
        "policy/test_credit_guard.py",
        "lookup_finds_refused",
        ("batch/reconcile.py", "context.server_refused(error)", "pass"),
    ),
    "a key that is rejected in a poll does not stop the batch": (
        "policy/test_credit_guard.py",
        "poll_finds_refused",
        ("batch/watch.py", "context.server_refused(error)", "pass"),
    ),
    "an interrupted run keeps credits that it did not spend": (
        "policy/test_credit_guard.py",
        "before_an_intent",
        (
            "batch/submit.py",
            "    except BaseException:\n        context.guard.release_credit()\n",
            "    except BaseException:\n",
        ),
    ),
    "a cancellation forgets a rejected upload": (
        "batch/test_recorder.py",
        "even_if_the_batch_is_cancelled",
        (
            "batch/submit.py",
            "    with CancelScope(shield=True):\n        try:",
            "    with CancelScope(shield=False):\n        try:",
        ),
    ),
    "a refusal that cannot be noted stops nothing": (
        "policy/test_credit_guard.py",
        "refusal_that_cannot",
        ("batch/submit.py", "            context.recorder.journal_failed(error)\n", ""),
    ),
    "a cancellation keeps results from being stored": (
        "batch/test_recorder.py",
        "was_storing",
        (
            "batch/recorder.py",
            "        with CancelScope(shield=True):\n            try:",
            "        with CancelScope(shield=False):\n            try:",
        ),
    ),
    "another attempt follows although the first is still recorded as sent": (
        "batch/test_sending.py",
        "withdrawal_cannot or token_of_its_own",
        ("starting.py", "            await self.permission.withdraw()\n", "            pass\n"),
    ),
    "a permission stays a doubt if nobody learned that it was stored": (
        "batch/test_sending.py",
        "may_be_stored or while_it_waits",
        ("batch/recorder.py", "if token is not None and token != entry.token:", "if False:"),
    ),
    "the permission of another process is taken for one's own": (
        "batch/test_sending.py",
        "another_attempt",
        ("batch/recorder.py", "if stored is not None and stored.token == token:", "if stored is not None:"),
    ),
    "the last chunk leaves although somebody else changed the entry": (
        "batch/test_sending.py",
        "somebody_else",
        PERMISSION_IGNORED,
    ),
    "the last chunk leaves although the time of its start is over": (
        "test_sending_permission.py",
        "while_its_permission_is_stored",
        (
            "starting.py",
            "            await checkpoint_if_cancelled()  # what stores",
            "            # what stores",
        ),
    ),
    "what was left unsent is shown as spent": (
        "cli/test_analyze.py",
        "left_unsent",
        (
            "journal/contract.py",
            "return self.credits - (self.state in UNSENT and self.credits > 0)",
            "return self.credits",
        ),
    ),
    "what was left unsent counts as spent": (
        "batch/test_sending.py",
        "does_not_count_as_spent",
        (
            "batch/recorder.py",
            "= totals.committed, totals.analyses",
            "= totals.credits, totals.analyses",
        ),
    ),
    "the credit of what was left unsent stays counted": (
        "batch/test_sending.py",
        "killed_during_an_upload",
        ("batch/pipeline.py", "reason=LEFT_UNSENT, credits=job.known.credits - 1)", "reason=LEFT_UNSENT)"),
    ),
    "a journal that fails in an upload does not stop the batch": (
        "batch/test_sending.py",
        "permission_cannot_be_stored",
        (
            "batch/recorder.py",
            "            self.journal_failed(error)\n            raise\n\n    async def record_cut_short",
            "            raise\n\n    async def record_cut_short",
        ),
    ),
    "a cancellation keeps a paid id from being stored at last": (
        "batch/test_recorder.py",
        "stores_a_paid_id",
        (
            "batch/recorder.py",
            "        with CancelScope(shield=True):\n            for",
            "        with CancelScope(shield=False):\n            for",
        ),
    ),
    "an unfinished outcome settles a clip that is bought again": (
        "batch/test_reopen.py",
        "does_not_settle",
        ("batch/reopen.py", "is not None and entry.state in FINISHED}", "is not None}"),
    ),
    "the digest of a key changes": (
        "test_transport.py",
        "never_changes",
        ("transport.py", "digest_size=16", "digest_size=17"),
    ),
    "a file with results is readable by others": (
        "test_private_files.py",
        "is_private or becomes_private",
        ("durable_files.py", "buffering=0, opener=_private)", "buffering=0)"),
    ),
    "a table of calculated data holds links": (
        "protocol/test_json_table.py",
        "no_link",
        ("protocol/json_table.py", "redact_links(dict(value))", "dict(value)"),
    ),
    "the types of a batch's table depend on its rows": (
        "tables/test_results_table.py",
        "another_type or named_like_a_field",
        ("tables/results_table.py", 'known.get(name, "number") if place < ours', 'known.get(name, "number") if 1'),
    ),
    "a part that others may read is continued as it is": (
        "test_private_files.py",
        "readable_part",
        ("durable_files.py", "st_mode) & 0o077:", "st_mode) & 0:"),
    ),
    "a folder for results can be opened by others": (
        "test_private_files.py",
        "is_private",
        ("durable_files.py", "        private_folder(path.parent)", "        path.parent.mkdir(parents=True)"),
    ),
    "the end of a compressed response is not checked": (
        "test_transport.py",
        "is_corrupt",
        ("transport.py", "        decoder.finish()\n", ""),
    ),
    "an error of an observer reaches the session": (
        "test_observing.py",
        "broken_observer",
        ("tracking.py", "    except (Exception, get_cancelled_exc_class()):", "    except ZeroDivisionError:"),
    ),
    "an observer can swallow an error": (
        "test_observing.py",
        "cannot_swallow",
        (
            "tracking.py",
            "    ) -> None:\n        self._exit()\n        self.end(self._ending, error)",
            "    ) -> Any:\n        return self._observation.__exit__(kind, error, trace)",
        ),
    ),
    "a new journal records each spelling of its base URL": (
        "batch/test_ownership.py",
        "one_base_url",
        ("batch/ownership.py", "if older and spelling != server:", "if spelling != server:"),
    ),
    "a hint ends a wait": (
        "test_hinted_waits.py",
        "never_ends",
        (
            "waiting.py",
            "yield state\n                if state.finished:\n                    return",
            'yield state\n                if state.finished or cause == "woken":\n                    return',
        ),
    ),
    "hints wake without a limit": (
        "policy/test_hints.py",
        "after_four or any_hints",
        ("policy/hints.py", "            if not self._left:\n                return None\n", ""),
    ),
    "a forged high sequence silences the real deliveries": (
        "policy/test_hints.py",
        "lower_sequence",
        ("policy/hints.py", "if sequence in self._sequences:", "if sequence <= max(self._sequences, default=-1):"),
    ),
    "hints that came early are kept for ever": (
        "policy/test_hints.py",
        "two_minutes",
        ("policy/hints.py", "if hints and now - came <= MAX_AGE else", "if hints else"),
    ),
    "a flood of forged ids is remembered": (
        "policy/test_hints.py",
        "early_hints_are_bounded",
        ("policy/hints.py", "if len(self._hints) > MAX_EARLY:", "if False:"),
    ),
    "a hint hurries the poll after a failed one": (
        "test_hinted_waits.py",
        "does_not_hurry",
        (
            "waiting.py",
            'await sleep(self._delay_after(error, schedule))\n                    delay, cause = 0.0, "repeated"',
            'delay, cause = self._delay_after(error, schedule), "repeated"',
        ),
    ),
    "a file is not read again although its inode has changed": (
        "batch/test_unchanged_files.py",
        "modification_time",
        ("clips.py", "facts.st_mtime_ns, facts.st_ctime_ns\n", "facts.st_mtime_ns, 0\n"),
    ),
    "a file that has just changed is remembered": (
        "batch/test_unchanged_files.py",
        "just_changed",
        ("clips.py", "return self.changed_at + SETTLED < time.time()", "return True"),
    ),
    "a clip is bought whose file was not read": (
        "batch/test_unchanged_files.py",
        "not_analyzed",
        ("batch/pipeline.py", "entry is not None and entry.state is State.ANALYZED else", "entry is not None else"),
    ),
    "workers of several machines remember each other's files": (
        "batch/test_unchanged_files.py",
        "workers_share",
        ("batch/pipeline.py", "None if self.context.journal.shared else clip.version", "clip.version"),
    ),
    "the digest of a local object is remembered": (
        "object_store/test_objects.py",
        "in_place",
        ("object_store/stored_object.py", 'startswith("file:")', 'startswith("none:")'),
    ),
    "woken polls ignore the rate limit": (
        "test_hinted_waits.py",
        "rate_limit or pause_that_the_server",
        (
            "waiting.py",
            "            await self._take_turn()\n        else:",
            "            await (sleep(0) if waker.hinted else self._take_turn())\n        else:",
        ),
    ),
    "a pause does not hold for polls that stand in line": (
        "test_waiting.py",
        "one_retry_after",
        ("waiting.py", "            while (ahead :=", "            if (ahead :="),
    ),
    "a pause does not hold if its wait ends with it": (
        "test_waiting.py",
        "longer_than_the_patience",
        ("waiting.py", "self.rate_limit.pause_until(now + retry_after)", "pass"),
    ),
    "each poll asks a journal that does not answer": (
        "batch/test_workers.py",
        "again_and_again",
        ("batch/workers.py", "current_time() < self._polls_freely_until", "False"),
    ),
    "polls that the server refuses do not lower their rate": (
        "policy/test_polling.py",
        "refuses_polls_gets_fewer",
        ("policy/polling.py", "max(_LEAST_RATE, self._answered_rate / 2)", "self._answered_rate"),
    ),
    "a rate of polls that is set is exceeded": (
        "policy/test_polling.py",
        "rate_that_is_set",
        ("policy/polling.py", "1 / (per_second or self.adapted)", "1 / max(per_second or 0, self.adapted)"),
    ),
    "clips are read although their uploads would wait": (
        "policy/test_concurrency.py",
        "slow_network",
        ("batch/context.py", "self.uploads.statistics().tasks_waiting > 0", "False"),
    ),
    "a hint wakes one wait only": (
        "test_wakes.py",
        "all_waits",
        ("wakes.py", "for waker in wakers:", "for waker in wakers[:1]:"),
    ),
    "a wait that has ended is still listened for": (
        "test_wakes.py",
        "leaves",
        ("wakes.py", "if not awaited.wakers:", "if False:"),
    ),
    "polls rest although ends are not announced": (
        "policy/test_hints.py",
        "returns_to_normal",
        ("policy/hints.py", "self._in_a_row + 1 if announced else 0", "self._in_a_row + announced"),
    ),
    "a vain hint does not end the rest": (
        "policy/test_hints.py",
        "vain_hint_returns",
        ("policy/polling.py", "self._announced, self._may_rest = True, False", "self._announced = True"),
    ),
    "a vain hint postpones the next poll": (
        "policy/test_hints.py",
        "does_not_postpone",
        (
            "policy/polling.py",
            "        if self._announced:\n            delay = min(",
            "        if False:\n            delay = min(",
        ),
    ),
    "clips are bought for a report that cannot be written": (
        "cli/test_final_report.py",
        "missing_extra",
        ("cli/output_options.py", 'if options["report"] and (missing := missing_extra()):', "if missing := '':"),
    ),
    "a report is made without landmarks": (
        "cli/test_final_report.py",
        "analyze_ends",
        ("cli/output_options.py", '["raw_data"] if options["report"] else []', "[]"),
    ),
    "a report that failed counts as written": (
        "cli/test_final_report.py",
        "loses_nothing",
        ("cli/final_report.py", "return most_severe((code, ExitCode.SOME_FAILED))", "return code"),
    ),
    "an interrupted run writes a report": (
        "cli/test_final_report.py",
        "names_the_command_instead",
        ("cli/final_report.py", "if code is ExitCode.INTERRUPTED:", "if False:"),
    ),
    "a terminal breaks a command that is copied": (
        "cli/test_wrapping.py",
        "how_lines",
        ("cli/display/wrapping.py", "|(?:ochy|pip install|ffmpeg) .+", "|ffmpeg .+"),
    ),
    "a log gets lines that are wrapped": (
        "cli/test_wrapping.py",
        "in_a_pipe or no_terminal",
        ("cli/display/wrapping.py", "        return 0\n", "        return 80\n"),
    ),
    "a report takes an outcome for results": (
        "report/test_sources.py",
        "results_are_pages",
        ("report/analyses.py", "if isinstance(source, ClipReference):", "if False:"),
    ),
    "the band of a figure is two standard deviations": (
        "report/test_figures.py",
        "curves_of_the_gait",
        ("report/paper_figure.py", "mean + sign * deviation", "mean + 2 * sign * deviation"),
    ),
    "every stance of a figure is equally long": (
        "report/test_figures.py",
        "stance_is_shaded",
        ("report/paper_figure.py", "first + 100 * content.stance", "first + 40"),
    ),
    "a figure of a group counts recordings and not runners": (
        "report/test_figures.py",
        "mean_of_the_runners_means",
        (
            "report/figures.py",
            "for runner in runners]",
            "for each in runners for runner in (each if isinstance(each, Sequence) else (each,))]",
        ),
    ),
    "a title of a figure is read as mathematics": (
        "report/test_figures.py",
        "only_a_text and mathematics",
        ("report/paper_figure.py", '"text.parse_math": False', '"text.parse_math": True'),
    ),
    "a figure holds the time at which it was saved": (
        "report/test_figures.py",
        "same_bytes_everywhere",
        ("report/paper_figure.py", "{**_UNDATED.get(", "{**{}.get("),
    ),
    "a figure follows the user's settings of matplotlib": (
        "report/test_figures.py",
        "same_bytes_everywhere",
        ("report/paper_figure.py", "        mpl.rcdefaults()\n", ""),
    ),
    "two threads change matplotlib's settings at once": (
        "report/test_figures.py",
        "two_threads",
        ("report/paper_figure.py", "with _LOCK, mpl.rc_context():", "with mpl.rc_context():"),
    ),
    "a figure loses letters of other fonts": (
        "report/test_figures.py",
        "not_lost_in_a_pdf",
        ("report/paper_figure.py", "42 if len(families) == 1 else 3", "42"),
    ),
    "an analysis without landmarks is left out in silence": (
        "cli/test_plot.py",
        "without_landmarks_is_named",
        (
            "report/figure_files.py",
            "                self._leave_out(analysis, NO_LANDMARKS)\n",
            "                pass\n",
        ),
    ),
}
"""Faults that the simulation cannot show: the file of the tests that find it, a part of their names, and the fault."""


@pytest.mark.parametrize(("file", "tests", "edit"), OTHER_FAULTS.values(), ids=OTHER_FAULTS)
def test_a_fault_outside_of_batches_is_found(file: str, tests: str, edit: Edit, tmp_path: Path) -> None:
    """The named tests fail, and not because they cannot run."""
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / file), "-k", tests)


TELEMETRY_FAULTS: dict[str, tuple[str, list[Edit]]] = {
    "a span has the URL with the key": (
        "over_a_socket",
        [
            ("core.py", "of, self.transport.origin,", "of, str(self.transport._url(call.request)),"),
            ("observing.py", "{_shown_origin(origin)}", "{origin}"),
        ],
    ),
    "a span has what the query says about a runner": (
        "other_calls",
        [
            (
                "observing.py",
                'f"{name}={REDACTED}&" for name, _ in request.query) if known else ""',
                'f"{each}&" for each in request.query)',
            )
        ],
    ),
    "a span has the id of a subject": (
        "other_calls",
        [("observing.py", "_PARAMETER.sub(REDACTED, path)", "request.path")],
    ),
    "a span has the name of a clip": (
        "virtual_time",
        [("starting.py", "track(StartOperation, self.request.view)", "track(StartOperation, self.label)")],
    ),
    "an exception is recorded": (
        "uncertain",
        [
            (
                "telemetry.py",
                "        context.detach(self._tokens.pop())",
                "        context.detach(self._tokens.pop())\n"
                "        self.span.record_exception(__import__('sys').exc_info()[1] or ValueError())",
            )
        ],
    ),
    "the text of an error is the description of a span": (
        "uncertain",
        [("telemetry.py", "set_status(trace.StatusCode.ERROR)", "set_status(trace.StatusCode.ERROR, str(ended))")],
    ),
    "the answer 429 is no error": (
        "over_a_socket",
        [("telemetry.py", "ended.status >= 400", "ended.status >= 500")],
    ),
    "a wait stays the current span of its caller": (
        "ends_of_waits",
        [
            (
                "tracking.py",
                "            yield\n        finally:\n            self._exit()",
                "            yield\n        finally:\n            pass",
            )
        ],
    ),
    "the clips of a batch are part of its trace": (
        "traces_of_their_own",
        [("telemetry.py", "            context=trace.set_span_in_context(trace.INVALID_SPAN),\n", "")],
    ),
    "a clip has no link to its batch": (
        "traces_of_their_own",
        [("telemetry.py", "[trace.Link(batch)] if batch.is_valid else []", "[]")],
    ),
}
"""Faults of telemetry: a part of the names of the tests that find it, and the edits."""


@pytest.mark.parametrize(("tests", "edits"), TELEMETRY_FAULTS.values(), ids=TELEMETRY_FAULTS)
def test_a_fault_of_telemetry_is_found(tests: str, edits: list[Edit], tmp_path: Path) -> None:
    """The named tests fail, and not because they cannot run."""
    pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk, which tests of the extra otel run on")
    planted(tmp_path, edits)
    assert_tests_fail(tmp_path, str(TESTS / "test_telemetry.py"), "-k", tests)


BUS_ERRORS, BUS_SETTINGS = "webhooks/test_buses.py", "webhooks/test_bus_settings.py"
BUS_FAULTS: dict[str, tuple[str, str, Edit]] = {
    "the error of a connection to the bus shows its address": (
        BUS_ERRORS,
        "refused_connection",
        ("webhooks/remote_bus.py", "return type(_first(error)).__name__", "return repr(vars(self))"),
    ),
    "the error of a connection to the bus is raised with its frames": (
        BUS_ERRORS,
        "refused_connection",
        (
            "webhooks/remote_bus.py",
            "return type(_first(error)).__name__",
            "raise BusError(type(_first(error)).__name__) from error",
        ),
    ),
    "a cancelled attempt to connect to the bus keeps its frames": (
        BUS_ERRORS,
        "connecting_can_be_cancelled",
        ("webhooks/remote_bus.py", "            drop_frames(interruption)\n", ""),
    ),
    "the frame of a bus's constructor holds its address": (
        BUS_SETTINGS,
        "not_quoted",
        ("webhooks/remote_bus.py", "        del address  # a", "        # a"),
    ),
    "the error of a malformed address quotes it": (
        BUS_SETTINGS,
        "not_quoted",
        (
            "webhooks/remote_bus.py",
            'return "must contain no blanks and no line breaks"',
            'return f"must contain no blanks and no line breaks: {address}"',
        ),
    ),
    "a password that is not encoded becomes a host name": (
        BUS_SETTINGS,
        "not_quoted",
        ("webhooks/remote_bus.py", "        if is_ambiguous or not all(", "        if not all("),
    ),
    "the repr of a bus shows its address": (
        BUS_SETTINGS,
        "shows_its_channel_only",
        ("webhooks/remote_bus.py", "(…, channel=", "({self._address}, channel="),
    ),
    "a bus is pickled with its password": (
        BUS_SETTINGS,
        "cannot_be_pickled",
        ("webhooks/remote_bus.py", "    def __reduce__(self)", "    def _reduce(self)"),
    ),
}
"""Faults that show the password of a database: the file of the tests that find it, a part of their names, the fault."""


@pytest.mark.parametrize(("file", "tests", "edit"), BUS_FAULTS.values(), ids=BUS_FAULTS)
def test_a_bus_that_shows_its_password_is_found(file: str, tests: str, edit: Edit, tmp_path: Path) -> None:
    """The named tests fail."""
    for library in ("asyncpg", "redis"):
        pytest.importorskip(library, reason=f"needs the extras postgres and redis: {library} is not installed")
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / file), "-k", tests)


TRUTH, PAGES_FOLDER, BROWSER = "report/test_truth.py", "report/test_pages_folder.py", "report/test_browser.py"
REPORT_FAULTS: dict[str, tuple[str, str, Edit]] = {
    "a name is markup": (
        TRUTH,
        "becomes_markup",
        ("report/runner_page.py", "[heading],", "[__import__('markupsafe').Markup(heading)],"),
    ),
    "a text of the vendor is markup": (
        TRUTH,
        "becomes_markup",
        (
            "report/analyses.py",
            "    known = str(text)\n",
            "    return __import__('markupsafe').Markup(text)\n",
        ),
    ),
    "the name of a clip in the table is markup": (
        TRUTH,
        "becomes_markup",
        ("report/overview_page.py", "h.bdi[row.name]", "h.bdi[__import__('markupsafe').Markup(row.name)]"),
    ),
    "the title of a page is markup": (
        TRUTH,
        "becomes_markup",
        ("report/document.py", "h.title[title],", "h.title[Markup(title)],"),
    ),
    "data of the program may end its element": (
        TRUTH,
        "cannot_end",
        ("report/document.py", r'.replace("<", "\\u003c")', ""),
    ),
    "the source of a reference is markup": (
        "report/test_reference.py",
        "hostile",
        (
            "report/numbers_section.py",
            "h.bdi[plain(band.source)]",
            "h.bdi[__import__('markupsafe').Markup(band.source)]",
        ),
    ),
    "a page has no security policy": (
        "report/test_pages.py",
        "policy",
        (
            "report/document.py",
            '            h.meta({"http-equiv": "Content-Security-Policy", "content": _policy(style, program)}),\n',
            "",
        ),
    ),
    "a page may run any program": (
        "report/test_pages.py",
        "policy",
        ("report/document.py", "script-src '{_hash(program)}'", "script-src 'unsafe-inline'"),
    ),
    "a page may load pictures from anywhere": (
        "report/test_pages.py",
        "policy",
        ("report/document.py", "img-src data:;", "img-src *;"),
    ),
    "a stance is shaded where no duty factor is known": (
        "report/test_pages.py",
        "duty_factor_only",
        ("report/runner_page.py", "motion_section(motion, analysis.duty_factor)", "motion_section(motion, 0.35)"),
    ),
    "the shaded stance is longer than the duty factor": (
        TRUTH,
        "shaded_stance",
        ("report/curve_chart.py", "min(1.0, 100 * length /", "min(1.0, 110 * length /"),
    ),
    "a band is one standard error": (
        TRUTH,
        "standard_deviation",
        ("gait/curves.py", "stdev(column) if", "stdev(column) / len(column) ** 0.5 if"),
    ),
    "a band is two standard deviations": (
        TRUTH,
        "means_and_deviations",
        (
            "report/curve_chart.py",
            "axis.y(mean + deviation)) for place",
            "axis.y(mean + 3 * deviation)) for place",
        ),
    ),
    "left and right are swapped in the curves": (
        TRUTH,
        "left_side_of_the_body",
        (
            "report/motion.py",
            "gait.curves[side][angle] for side in SIDES if angle in gait.curves[side]",
            "gait.curves[other][angle] for side, other in zip(SIDES, SIDES[::-1]) if angle in gait.curves[other]",
        ),
    ),
    "left and right are swapped on the vendor's ranges": (
        TRUTH,
        "left_leg",
        ("report/sides_section.py", "part in name and side in name", "part in name and side not in name"),
    ),
    "a leg is shown on the ranges of the other": (
        TRUTH,
        "different_ranges",
        ("report/sides_section.py", "{*map(str, ranges.values())}) == 1", "ranges) > 0"),
    ),
    "quartiles are made of four analyses": (
        "report/test_pages.py",
        "quartiles_need",
        ("report/statistics.py", "FEWEST: Final = 5", "FEWEST: Final = 4"),
    ),
    "quartiles are those of a larger population": (
        TRUTH,
        "quartiles_are",
        ("report/statistics.py", 'method="inclusive"', 'method="exclusive"'),
    ),
    "a section does not say whose its numbers are": (
        TRUTH,
        "every_number",
        ("report/document.py", "whose = source and", "whose = None and"),
    ),
    "what was read off the landmarks is said to be Ochy's": (
        TRUTH,
        "its_own_sections",
        ("report/sides_section.py", "Source.LANDMARKS", "Source.OCHY"),
    ),
    "a reference is said to be Ochy's": (
        "report/test_reference.py",
        "with_its_source",
        ("report/numbers_section.py", " It is not Ochy's.", ""),
    ),
    "a reference in another unit is shown": (
        "report/test_reference.py",
        "invalid_row",
        ("report/reference.py", 'elif self.cells["unit"].casefold() != metric.unit:', "elif False:"),
    ),
    "a link of the overview leads nowhere": (
        "report/test_pages.py",
        "lists_every_clip",
        ("report/overview_page.py", "href=quote(row.page)", "href=quote(row.page, safe='').upper()"),
    ),
    "the name of a page leads out of the folder": (
        "report/test_pages.py",
        "names_of_pages",
        ("report/analyses.py", "{file_stem(self.clip or 'analysis')}", "{self.clip or 'analysis'}"),
    ),
    "two analyses share a page": (
        "report/test_pages.py",
        "names_of_pages",
        ("report/statistics.py", "return name if count == 1 else", "return name if count else"),
    ),
    "pages of analyses that are gone stay": (
        PAGES_FOLDER,
        "are_removed",
        ("report/writer.py", "    pages.remove_others(names)\n", ""),
    ),
    "a file of the user is removed": (
        PAGES_FOLDER,
        "of_the_user_stay",
        ("report/pages_folder.py", "            if self._is_page(name):\n", "            if True:\n"),
    ),
    "a file of the user is replaced": (
        PAGES_FOLDER,
        "is_not_replaced",
        ("report/pages_folder.py", "        if foreign:\n", "        if False:\n"),
    ),
    "pages are removed before the overview is written": (
        PAGES_FOLDER,
        "interruption",
        ("report/writer.py", "    pages.open(names)\n", "    pages.open(names)\n    pages.remove_others(names)\n"),
    ),
    "runners are mixed up when the table changes": (
        PAGES_FOLDER,
        "mixes_up",
        ("report/writer.py", "(analysis.clip, analysis.analysis_id) != (row.clip, row.analysis_id)", "False"),
    ),
}
"""Faults of reports: the file of the tests that find it, a part of their names, the fault."""


@pytest.mark.parametrize(("file", "tests", "edit"), REPORT_FAULTS.values(), ids=REPORT_FAULTS)
def test_a_fault_of_a_report_is_found(file: str, tests: str, edit: Edit, tmp_path: Path) -> None:
    """The named tests fail."""
    pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / file), "-k", tests)


BROWSER_FAULTS: dict[str, tuple[str, Edit]] = {
    "a heading sorts one way only": (
        "heading_sorts",
        ("report/report.js", "=== first ? second : first;", "=== first ? first : first;"),
    ),
    "what is missing is sorted as 0": (
        "heading_sorts",
        ("report/report.js", 'text === "–" ? null : ', 'text === "–" ? "0" : '),
    ),
    "one word of a search is enough": (
        "search",
        ("report/report.js", "row.hidden = !words.every(", "row.hidden = !words.some("),
    ),
    "the dots are beside their curves": (
        "lies_on_its_curve",
        ("report/report.js", "const x = left + (right - left) * along", "const x = left + (right - left) * share"),
    ),
    "the program's curves have another axis than the drawn ones": (
        "lies_on_its_curve",
        ("report/motion_section.py", "round(axis.y(value), 1)", "round(axis.y(value + 5), 1)"),
    ),
    "the slider does not move the figure's percentage": (
        "slider",
        ("report/report.js", "share = Number(slider.value) / 100;", "share = Number(slider.value) / 101;"),
    ),
    "the figure does not pause": (
        "pauses",
        ("report/report.js", "if (!playing) return;", ""),
    ),
    "one of two equal curves hides the other": (
        "coincide",
        ("report/report.css", ".chart .edge { stroke: var(--card); stroke-width: 2.6; }", ""),
    ),
}
"""Faults of pages in a browser: a part of the names of the tests that find it, and the fault."""


@pytest.mark.parametrize(("tests", "edit"), BROWSER_FAULTS.values(), ids=BROWSER_FAULTS)
def test_a_fault_of_a_page_in_the_browser_is_found(tests: str, edit: Edit, tmp_path: Path) -> None:
    """The named tests fail."""
    for library in ("htpy", "playwright.sync_api", "axe_playwright_python.sync_playwright", "av"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / BROWSER), "-k", tests)


SETTINGS = {
    "journal_mode": ('("WAL", "wal")', '("DELETE", "delete")'),
    "synchronous": ('("FULL", 2)', '("OFF", 0)'),
    "locking_mode": ('("EXCLUSIVE", "exclusive")', '("NORMAL", "normal")'),
    "fullfsync": ('("ON", 1)', '("OFF", 0)'),
    "checkpoint_fullfsync": ('("ON", 1)', '("OFF", 0)'),
    "cell_size_check": ('("ON", 1)', '("OFF", 0)'),
    "trusted_schema": ('("OFF", 0)', '("ON", 1)'),
}
"""Each setting of a journal's connection: the right value and a wrong one."""


def setting(name: str, instead: str) -> Edit:
    return ("journal/sqlite/connection.py", f'    "{name}": {SETTINGS[name][0]}', f'    "{name}": {instead}')


CLOSING, FILES, REPAIR = "journal/test_closing.py", "journal/test_files.py", "journal/test_repair.py"
UPGRADE, LARGE = "journal/test_upgrade.py", "journal/test_large.py"
JOURNAL_FAULTS: dict[str, tuple[Edit, str, str]] = {
    **{f"{name} is not set": (setting(name, wrong), FILES, "sqlite_apply") for name, (_, wrong) in SETTINGS.items()},
    "the log of a journal that was not closed is deleted": (
        (
            "journal/sqlite/store.py",
            "        finally:\n            self.connection.close()\n\n    # --- changes",
            "        finally:\n            self.connection.discard_log_on_close()\n"
            "            self.connection.close()\n\n"
            "    # --- changes",
        ),
        CLOSING,
        "tidied_up",
    ),
    "the log of a connection that nobody closes is deleted": (
        ("journal/sqlite/connection.py", "        self._keep_log(True)\n", "        self.discard_log_on_close()\n"),
        CLOSING,
        "nobody_leaves",
    ),
    "a cancellation prevents the close": (
        (
            "journal/sqlite/journal.py",
            "_raise_error(await finish_in_thread(partial(self._exclusively, self._close_store)))",
            "await self._in_thread(self._close_store)",
        ),
        CLOSING,
        "by_hand_twice",
    ),
    "the closing thread is not awaited": (
        ("cancellation.py", "                cancelled = error\n", "                raise\n"),
        CLOSING,
        "comes_back_after",
    ),
    "starts are made although the journal file is gone": (
        (
            "journal/sqlite/store.py",
            "        if entry.state in (State.INTENDED, State.SENDING):\n",
            "        if entry.state is State.SENDING:\n",
        ),
        CLOSING,
        "taken_away",
    ),
    "clips are sent although the journal file is gone": (
        (
            "journal/sqlite/store.py",
            "        if entry.state in (State.INTENDED, State.SENDING):\n",
            "        if entry.state is State.INTENDED:\n",
        ),
        CLOSING,
        "taken_away",
    ),
    "what an older version intended counts as not sent": (
        ("journal/sqlite/store.py", "while schema < 2 and (page", "while schema < 1 and (page"),
        UPGRADE,
        "older_version_intended",
    ),
    "only the first page of an older journal is upgraded": (
        ("journal/sqlite/store.py", "while schema < 2 and (page", "if schema < 2 and (page"),
        UPGRADE,
        "older_version_intended",
    ),
    "an upgraded journal is open to older versions": (
        (
            "journal/sqlite/store.py",
            'schema != SCHEMA:\n            self.connection.execute(f"PRAGMA user_version = {SCHEMA}',
            'schema != SCHEMA:\n            self.connection.execute(f"PRAGMA user_version = {schema}',
        ),
        UPGRADE,
        "refused_by_older",
    ),
    "an upgraded journal without analyses has no totals": (
        (
            "journal/sqlite/store.py",
            "self.set_mark(_SEALS, rows.summary_text(self._summary))  # with",
            "pass  # with",
        ),
        UPGRADE,
        "without_analyses",
    ),
    "the analyses of an older journal are forgotten": (
        ("journal/sqlite/store.py", "self._owner(analysis_id) is None:", "self._owner(analysis_id) is False:"),
        UPGRADE,
        "schema_2",
    ),
    "opening a journal takes longer with every finished clip": (
        ("journal/sqlite/store.py", "self._summary.rows <= VERIFIED_ROWS", "self._summary.rows >= 0"),
        LARGE,
        "nothing_that_a_run_needs",
    ),
    "reading the clips in a state takes longer with every finished clip": (
        ("journal/sqlite/store.py", "INDEXED BY {_BY_STATE}", "NOT INDEXED"),
        LARGE,
        "nothing_that_a_run_needs",
    ),
    "the removal of the log goes unnoticed": (
        (
            "journal/sqlite/store.py",
            'store.remember_files(path.absolute(), sibling(real, "-wal"))',
            "store.remember_files(path.absolute())",
        ),
        CLOSING,
        "without_its_log",
    ),
    "a child process uses the journal of its parent": (
        ("journal/sqlite/journal.py", "        if self._process != os.getpid():\n", "        if False:\n"),
        CLOSING,
        "forked",
    ),
    "damaged rows are repaired as if they were intact": (
        ("journal/sqlite/repair.py", "        store.verify_all()\n", ""),
        REPAIR,
        "really_damaged",
    ),
    "rows that nobody wrote count as intact": (
        ("journal/sqlite/repair.py", "complete=found == verified and seal == written", "complete=seal == written"),
        REPAIR,
        "really_damaged",
    ),
    "a repair leaves intents unchanged": (
        ("batch/recovery.py", "            if becomes_uncertain(entry):", "            if entry.state is State.OPEN:"),
        REPAIR,
        "can_be_repaired",
    ),
    "a repair looks for an intended start in its own time only": (
        ("batch/recovery.py", "    if entry.state is State.SENDING:\n", "    if entry.state is not State.OPEN:\n"),
        REPAIR,
        "anything_that_was_lost",
    ),
    "a repair leaves open clips unchanged": (
        (
            "batch/recovery.py",
            "            if becomes_uncertain(entry):",
            "            if entry.state is State.INTENDED:",
        ),
        REPAIR,
        "can_be_repaired",
    ),
    "a lost entry is ignored in lookups": (
        ("batch/recovery.py", ', earliest, now, "", None))', ', now, now, "", None))'),
        REPAIR,
        "anything_that_was_lost",
    ),
    "a tagging subject is proof after a repair": (
        ("batch/recovery.py", "evolve(entry, subject_id=None) if is_tagged else entry", "entry"),
        REPAIR,
        "anything_that_was_lost",
    ),
    "a repair forgets the runner of a start": (
        ("batch/recovery.py", "if is_tagged else entry", "if True else entry"),
        REPAIR,
        "anything_that_was_lost",
    ),
    "tagging subjects stay in use after a repair": (
        ("batch/recovery.py", "store.retire_tagging_subject(", "store.add_tagging_subject("),
        REPAIR,
        "anything_that_was_lost",
    ),
    "a repair makes no copy": (
        ("journal/sqlite/repair.py", "    store.connection.copy_to(backup)\n", ""),
        REPAIR,
        "copy_is_made",
    ),
    "a change that reaches no row counts as stored": (
        ("journal/sqlite/store.py", "if done.rowcount != 1:", "if False:"),
        FILES,
        "reach_its_row",
    ),
    "a change that an interrupted thread had taken counts as stored": (
        ("journal/sqlite/journal.py", "        if not self.done:\n", "        if False:\n"),
        FILES,
        "had_taken",
    ),
    "a new journal does not reach the disk": (
        ("durable_files.py", "    try:\n        os.fsync(handle)", "    try:\n        pass"),
        FILES,
        "on_the_disk",
    ),
    "the checksums of rows change": (
        ("journal/sqlite/rows.py", "hashlib.blake2b(content, digest_size=16)", "hashlib.blake2b(content)"),
        FILES,
        "schema_1",
    ),
    "the seals of tables change": (
        ("journal/sqlite/rows.py", "    rows: int = 0\n", "    rows: int = 1\n"),
        FILES,
        "schema_1",
    ),
    "memory counts as a disk": (
        ("journal/sqlite/mounts.py", '{"ramfs", "tmpfs"}', '{"ramfs"}'),
        FILES,
        "unreliable_file",
    ),
    "a shared folder counts as a disk": (("journal/sqlite/mounts.py", ', "virtiofs"}', "}"), FILES, "network_mounts"),
}


@pytest.mark.parametrize(("edit", "suite", "which"), JOURNAL_FAULTS.values(), ids=JOURNAL_FAULTS)
def test_a_fault_of_the_journal_is_found(edit: Edit, suite: str, which: str, tmp_path: Path) -> None:
    """The named tests fail."""
    if which.startswith("without_its_log") and os.name != "posix":
        pytest.skip("an open file cannot be removed there")
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / suite), "-k", which)


NOT_DURABLE: dict[str, Edit] = {
    "nothing is synced": setting("synchronous", '("OFF", 0)'),
    "commits are not synced": setting("synchronous", '("NORMAL", 1)'),
    "the last chunk does not wait for the disk": PERMISSION_NOT_AWAITED,
}


@pytest.mark.parametrize("edit", NOT_DURABLE.values(), ids=NOT_DURABLE)
def test_what_does_not_reach_the_disk_in_time_is_found_by_the_power_loss_tests(edit: Edit, tmp_path: Path) -> None:
    """Clips that were paid for are missing after the power loss."""
    pytest.importorskip("apsw", reason="needs the extra dev: apsw records what SQLite writes")
    planted(tmp_path, [edit])
    assert_tests_fail(tmp_path, str(TESTS / "journal/test_power_loss.py"))


CAMPAIGNS: dict[str, tuple[list[Edit], str]] = {
    "every uncertain start is sent again": (
        [
            *SIMULATION_FAULTS["an uncertain start is sent again"],
            *SIMULATION_FAULTS["a connection lost after the last byte counts as not sent"],
            *SIMULATION_FAULTS["a 5xx counts as not started"],
        ],
        "credits for one clip",
    ),
    "two processes may have a journal open": (
        [
            setting("locking_mode", SETTINGS["locking_mode"][1]),
            ("journal/sqlite/store.py", 'pragma(connection, "locking_mode = EXCLUSIVE")', "pass"),
        ],
        "a second batch was not refused",
    ),
    "the key is logged": (
        [
            (
                "transport.py",
                "        method, url = request.route.method, self._url(request)\n",
                "        method, url = request.route.method, self._url(request)\n        print(url)\n",
            )
        ],
        "a secret in",
    ),
}
"""Faults, and what a campaign of kills and stops reports of each."""


@pytest.mark.skipif(os.name != "posix", reason="processes cannot be stopped there")
@pytest.mark.parametrize(("edits", "report"), CAMPAIGNS.values(), ids=CAMPAIGNS)
def test_a_fault_is_found_by_a_campaign(edits: list[Edit], report: str, tmp_path: Path) -> None:
    """Real processes, signals and broken connections show the fault too."""
    planted(tmp_path, edits)
    found = run(tmp_path, str(TESTS / "support/kills.py"), "--campaigns", "4", "--once")
    assert found.returncode == 1, found.stdout + found.stderr[-2000:]
    assert report in found.stdout
