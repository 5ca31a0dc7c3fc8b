"""Mutation tests: faults of one line, planted in a copy of the library, are found by the simulation or by named tests.

The library passes the same simulation and tests without the faults.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ochy_async

PACKAGE = Path(ochy_async.__file__).parent
TESTS = Path(__file__).parents[1]
SCENARIOS = 600

Edit = tuple[str, str, str]
"""A file, a text that it contains once, and the text that replaces it."""

NO_COMPARE: Edit = ("journal/transitions.py", "if entry.version != version:", "if False:")
NO_RIVALS: Edit = (
    "policy/reconciliation.py",
    "if fits and not any(_possible(other, only, known) for other in other_starts)",
    "if fits",
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
    "an intent of a killed process counts as not sent": [
        ("policy/clip_states.py", "State.INTENDED: Step.RECONCILE", "State.INTENDED: Step.START"),
        ("policy/clip_states.py", "State.INTENDED: frozenset({", "State.INTENDED: frozenset({State.INTENDED, "),
    ],
    "a connection lost after the last byte counts as not sent": [
        (
            "policy/start_fate.py",
            "Fate.UNCERTAIN if phase is Phase.COMPLETE else Fate.NOT_HAPPENED",
            "Fate.NOT_HAPPENED",
        ),
    ],
    "a 5xx counts as not started": [
        (
            "policy/start_fate.py",
            "Fate.UNCERTAIN if response.request_complete else Fate.NOT_HAPPENED",
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
        ("batch/reconcile.py", "tagged = entry.subject_id in context.subject_pool", "tagged = True"),
        ("batch/reconcile.py", "list_call(entry.subject_id if tagged else None)", "list_call()"),
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
        ("batch/recorder.py", "self.guard.spent_earlier = tally.credits", "pass"),
    ],
    "two starts share a tagging subject": [
        (
            "batch/tagging.py",
            "if self._free:\n            return self._free.pop()",
            "if self._all:\n            return min(self._all)",
        ),
    ],
    "a tagging subject of an uncertain start is used again": [
        ("batch/tagging.py", "sorted(self._all - self._retired - uncertain)", "sorted(self._all - self._retired)"),
    ],
    "the tagging subject of a rejected upload is used again": [
        ("batch/submit.py", "await context.subject_pool.retire(", "context.subject_pool.release("),
    ],
    "a clock offset hides analyses of a tagging subject": [
        ("policy/reconciliation.py", "possible = _linked if own_subject else _possible", "possible = _possible"),
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
        ("batch/submit.py", "async with context.uploads:", "if context.uploads:"),
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
    "each repetition of a command reopens the clips": [
        ("batch/reopen.py", "or pending.get(entry.key, entry.version) != entry.version", ""),
    ],
    "a reopening is recorded as done before its clips are open": [
        ("batch/engine.py", "opened = set(await pending_reopens(journal))", "opened = set[str]()"),
        (
            "batch/reopen.py",
            "await journal.put_all([",
            "await journal.set_note(NOTE + name, '{}')\n    await journal.put_all([",
        ),
    ],
    "the earlier analysis of a reopened clip is forgotten": [
        ("batch/recorder.py", "state=State.OPEN, analysis_id=None, started_at=None", "state=State.OPEN"),
    ],
    "a clip that the server refused is sent again": [
        ("policy/clip_states.py", "State.REFUSED: Step.NOTHING", "State.REFUSED: Step.START"),
        ("policy/clip_states.py", "State.REFUSED: frozenset({", "State.REFUSED: frozenset({State.INTENDED, "),
    ],
}


LOOKUP_TESTS = ("batch/test_unresolved.py", "batch/test_batch.py")
BATCH_FAULTS: dict[str, tuple[list[Edit], tuple[str, ...]]] = {
    "the time window of a killed process ends now": (
        [("batch/reconcile.py", "latest=min(context.now(), deadline)", "latest=context.now()")],
        LOOKUP_TESTS,
    ),
    "analyses started by this session are candidates": (
        [
            (
                "batch/reconcile.py",
                "await context.journal.analysis_ids() | context.core.state.started_ids",
                "await context.journal.analysis_ids()",
            )
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
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("edits", SIMULATION_FAULTS.values(), ids=SIMULATION_FAULTS)
def test_a_fault_is_found_by_the_simulation(edits: list[Edit], tmp_path: Path) -> None:
    """The simulation fails in some scenario and says why."""
    planted(tmp_path, edits)
    found = run(tmp_path, "-m", "tests.support.simulation", "--worlds", str(SCENARIOS), "--once")
    assert found.returncode == 1, found.stdout + found.stderr[-2000:]
    assert ": " in found.stdout.splitlines()[-1], found.stderr[-2000:]


def assert_tests_fail(folder: Path, *arguments: str) -> None:
    """Runs tests on the copy in `folder` and expects failures.

    In one process, since several that stop at a first failure exit with another code. The summary of failures may be
    missing: a fault that leaves something open also raises while pytest exits.
    """
    found = run(folder, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *arguments)
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
        ("transport.py", "                await checkpoint()\n        decoder.finish()", "        decoder.finish()"),
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
        ("cli/app.py", 'vars(error)["message"] = clean_lines(error.message)', "pass"),
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
            "            return await self.journal.put(entry)\n        except JournalError",
            "            return await self.journal.put(entry)\n        except KeyError",
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
    "the tagging subject of a refused request is used again": (
        "batch/test_unresolved.py",
        "not_used_again",
        ("batch/tagging.py", "            self._retired.add(subject_id)\n", ""),
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
    "the end of a compressed response is not checked": (
        "test_transport.py",
        "is_corrupt",
        ("transport.py", "        decoder.finish()\n", ""),
    ),
    "an error of an observer reaches the session": (
        "test_observing.py",
        "broken_observer",
        ("observing.py", "    except (Exception, get_cancelled_exc_class()):", "    except ZeroDivisionError:"),
    ),
    "an observer can swallow an error": (
        "test_observing.py",
        "cannot_swallow",
        (
            "observing.py",
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
    "woken polls ignore the rate limit": (
        "test_hinted_waits.py",
        "rate_limit or pause_that_the_server",
        ("waiting.py", "        if ahead > 0:\n", "        if ahead > 0 and not waker.hinted:\n"),
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
                "observing.py",
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
JOURNAL_FAULTS: dict[str, tuple[Edit, str, str]] = {
    **{f"{name} is not set": (setting(name, wrong), FILES, "sqlite_apply") for name, (_, wrong) in SETTINGS.items()},
    "the log of a journal that was not closed is deleted": (
        (
            "journal/sqlite/store.py",
            "        finally:\n            self.connection.close()\n\n    def _computed_seal",
            "        finally:\n            self.connection.discard_log_on_close()\n"
            "            self.connection.close()\n\n"
            "    def _computed_seal",
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
            "        if entry.state is State.INTENDED:\n",
            "        if entry.state is State.OPEN:\n",
        ),
        CLOSING,
        "taken_away",
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
        ("journal/sqlite/repair.py", "        store.verify_rows()\n", ""),
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
        ("batch/recovery.py", ', latest, now, "", None))', ', now, now, "", None))'),
        REPAIR,
        "anything_that_was_lost",
    ),
    "tagging subjects stay in use after a repair": (
        ("batch/recovery.py", "store.set_note(note, RETIRED)", 'store.set_note(note, "")'),
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


@pytest.mark.parametrize("wrong", ['("OFF", 0)', '("NORMAL", 1)'])
def test_a_journal_that_does_not_sync_is_found_by_the_power_loss_tests(wrong: str, tmp_path: Path) -> None:
    """Clips that were paid for are missing after the power loss."""
    pytest.importorskip("apsw", reason="needs the extra dev: apsw records what SQLite writes")
    planted(tmp_path, [setting("synchronous", wrong)])
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
