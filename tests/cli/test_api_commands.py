"""The other API commands: status, list, subjects, exercises, webhook. No output holds a secret."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("click", reason="needs the extra cli: click is not installed")

from ochy_async.cli.app import COMMANDS, ochy
from ochy_async.cli.commands.webhook import HIDDEN
from ochy_async.emulator import Delay, DisconnectAfter, Fault, ReplaceBody, Respond, RespondHtml, ServiceRequest
from tests.conftest import world
from tests.support.canary import API_KEY
from tests.support.cli_harness import CliHarness, CliRunner, cli_harness, cli_process, json_lines, run_cli, wait_until

CREATE = "POST /subjects"
DELETE = "POST /subjects/{subject_id}/delete"
HOOK = "https://user:private@hooks.example.org/private?token=private"


def created(harness: CliHarness, *profile: str) -> str:
    """The id of a new subject."""
    result = harness.ochy("subjects", "create", *(profile or ("--name", "Ada")))
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


# --- subjects -------------------------------------------------------------------------------------


def test_the_life_of_a_subject(harness: CliHarness) -> None:
    """It is created, listed, shown with units, updated and deleted."""
    profile = ("--name", "Ada Lovelace", "--email", "ada@example.org", "--height", "1.75", "--weight", "68")
    subject = created(harness, *profile)
    listed = harness.ochy("subjects", "list")
    assert (listed.exit_code, listed.stdout.startswith("1 subject\n")) == (0, True)
    for words in (subject, "Ada Lovelace", "1.75 m", "68.0 kg"):
        assert words in listed.stdout
    assert harness.ochy("subjects", "update", subject, "--weight", "66.5").exit_code == 0
    shown = harness.ochy("subjects", "show", subject)
    for words in ("Ada Lovelace", "ada@example.org", "1.75 m", "66.5 kg"):
        assert words in shown.stdout
    assert "Ada" not in shown.stderr
    deleted = harness.ochy("subjects", "delete", subject, "--yes")
    assert (deleted.exit_code, deleted.stderr) == (0, "Deleted.\n")
    gone = harness.ochy("subjects", "show", subject)
    assert (gone.exit_code, gone.stdout, "404" in gone.stderr) == (1, "", True)


def test_subjects_as_json_have_stable_keys(harness: CliHarness) -> None:
    """One object per line, with the same keys whatever is known of a subject."""
    subjects = {created(harness), created(harness, "--height", "1.8")}
    records = json_lines(harness.ochy("subjects", "list", "--json"))
    keys = ["subject_id", "email", "name", "height", "weight", "created_at"]
    assert {each["subject_id"] for each in records} == subjects
    assert [list(each) for each in records] == [keys, keys]
    (one,) = json_lines(harness.ochy("subjects", "show", subjects.pop(), "--json"))
    assert list(one) == keys
    (answer,) = json_lines(harness.ochy("subjects", "update", one["subject_id"], "--name", "Eve", "--json"))
    assert list(answer) == ["subject_id", "message"]
    (answer,) = json_lines(harness.ochy("subjects", "delete", one["subject_id"], "--yes", "--json"))
    assert answer["subject_id"] == one["subject_id"]


def test_unknown_keys_are_printed_and_links_masked(harness: CliHarness) -> None:
    """The vendor's other keys follow the documented ones, without links and control characters."""
    subject_id = created(harness)
    subject = {"id": "s1", "name": "A\x1b[2J", "age": 41, "photo": "https://store/x?signature=1", "email": None}
    harness.faults(
        "GET /subjects/{subject_id}", ReplaceBody(json.dumps(subject).encode(), {"content-type": "application/json"}), 2
    )
    (record,) = json_lines(harness.ochy("subjects", "show", subject_id, "--json"))
    assert (record["subject_id"], record["age"], record["photo"]) == ("s1", 41, "[link]")
    assert "id" not in record
    assert "\x1b" not in harness.ochy("subjects", "show", subject_id).output


def test_an_account_without_subjects(harness: CliHarness) -> None:
    """A message on stderr names the next command; as JSON there is no line."""
    result = harness.ochy("subjects", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "ochy subjects create --name" in result.stderr
    assert harness.ochy("subjects", "list", "--json").stdout == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create",), "Give at least one of --name"),
        (("create", "--height", "175"), "--height: looks like centimeters"),
        (("create", "--name", " "), "--name: must be a non-empty text"),
        (("update", "s1"), "Give at least one of --name"),
        (("update", "s1", "--weight", "68000"), "--weight: looks like grams"),
        (("update", "", "--weight", "68"), "must be an id"),
        (("delete", "s1"), "add --yes"),
        (("delete", "-s1"), "No such option"),
        (("lst",), "Did you mean 'list'?"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_sent(
    harness: CliHarness, words: tuple[str, ...], message: str
) -> None:
    """The exit code is 2, and the error says what to type instead."""
    result = harness.ochy("subjects", *words)
    assert (result.exit_code, harness.service.requests) == (2, ())
    assert message in result.stderr


@pytest.mark.parametrize(
    "fault", [Respond(503), RespondHtml(502), ReplaceBody(b"<html>"), DisconnectAfter(charged=False)]
)
def test_a_subject_is_not_created_twice(harness: CliHarness, fault: Fault) -> None:
    """If the server may have created it, one request is sent, and the message names the command that shows it."""
    harness.faults(CREATE, fault)
    result = harness.ochy("subjects", "create", "--name", "Ada Lovelace")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "may have been created all the same" in result.stderr
    assert "`ochy subjects list`" in result.stderr
    assert "Ada" not in result.output
    assert harness.service.count(CREATE) <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_an_interrupted_creation_is_reported(harness: CliHarness, tmp_path: Path) -> None:
    """Ctrl-C before the answer: exit code 130, and the command that shows whether the subject exists."""
    harness.faults(CREATE, Delay(60, after=True))
    (tmp_path / "output").mkdir()
    words = ("subjects", "create", "--name", "Ada")
    with cli_process(*words, folder=tmp_path / "output", env=harness.environment()) as child:
        wait_until(lambda: harness.service.count(CREATE))
        child.send_signal(signal.SIGINT)
        code = child.wait(10)
    text = (tmp_path / "output" / "stderr").read_text()
    assert (code, "may have been created all the same" in text) == (130, True), text


def test_quiet_prints_only_results_and_errors(harness: CliHarness) -> None:
    """The id is on stdout and nothing on stderr; an error is still printed."""
    result = harness.ochy("subjects", "create", "--name", "Ada", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "HTTP 404" in harness.ochy("subjects", "show", "unknown", "--quiet").stderr


def test_a_refused_creation_is_certain(harness: CliHarness) -> None:
    """With an invalid key nothing was created; exit code 3."""
    result = harness.ochy("subjects", "create", "--name", "Ada", OCHY_API_KEY="4f1d-wrong-key")
    assert result.exit_code == 3
    assert "may have been created" not in result.stderr


def test_an_error_that_ends_a_command_names_its_help(harness: CliHarness) -> None:
    """The last line names the section of the documentation, below what happened."""
    result = harness.ochy("subjects", "list", OCHY_API_KEY="4f1d-wrong-key")
    assert (
        result.stderr.splitlines()[-1]
        == "Help: reference/errors.html#keyrefused in the documentation (see the README)."
    )


def test_an_unanswered_deletion_is_reported(harness: CliHarness) -> None:
    """It is not repeated either: the second request would not find the subject."""
    subject = created(harness)
    harness.faults(DELETE, Respond(500))
    result = harness.ochy("subjects", "delete", subject, "--yes")
    assert result.exit_code == 1
    assert "may have been deleted all the same" in result.stderr


def test_an_unknown_subject_is_not_found(harness: CliHarness) -> None:
    """For every command that names one: exit code 1 and the HTTP status."""
    for words in (("show", "s1"), ("update", "s1", "--name", "Eve"), ("delete", "s1", "--yes")):
        result = harness.ochy("subjects", *words)
        assert (result.exit_code, "HTTP 404" in result.stderr) == (1, True), words
        assert "may have been" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, False), (b"n\n", 1, True)])
def test_a_deletion_is_confirmed_on_a_terminal(harness: CliHarness, answer: bytes, code: int, left: bool) -> None:
    """Without --yes nothing is deleted unless the user confirms."""
    import pty
    import subprocess

    subject = created(harness)
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "ochy_async.cli", "subjects", "delete", subject]
    os.write(outer, answer)
    child = subprocess.run(  # noqa: S603
        command, stdin=inner, capture_output=True, env={**os.environ, **harness.environment()}, timeout=20, check=False
    )
    os.close(inner)
    os.close(outer)
    assert (child.returncode, f"Delete the subject {subject}?".encode() in child.stderr) == (code, True), child.stderr
    assert bool(json_lines(harness.ochy("subjects", "list", "--json"))) is left


@pytest.mark.parametrize(("height", "weight"), [("1,75", "68"), ("175 cm", "68 kg")])
def test_measures_are_read_as_people_write_them(harness: CliHarness, height: str, weight: str) -> None:
    """As `ochy analyze` reads them."""
    subject = created(harness, "--height", height, "--weight", weight)
    (record,) = json_lines(harness.ochy("subjects", "show", subject, "--json"))
    assert (record["height"], record["weight"]) == (1.75, 68)


# --- status ---------------------------------------------------------------------------------------


def test_status_polls_once(tmp_path: Path) -> None:
    """One line for each analysis, without waiting; a failed analysis is a status like any other."""
    with cli_harness(world(analysis_seconds=(86_400, 86_400)), tmp_path) as harness:
        clips = harness.clips("a.mp4", "b.mp4")
        assert harness.analyze(*clips, "--view", "side", "--timeout", "0.5").exit_code == 1
        harness.skipped[0] = 3 * 86_400.0
        harness.faults("GET /analysis/{analysis_id}/results", ReplaceBody(b'{"video_id": "x", "status": "failed"}'))
        result = harness.ochy("status", *harness.ids, "--json")
        assert result.exit_code == 0, result.output
        keys = ["analysis_id", "status", "percentage", "finished"]
        assert [list(each) for each in json_lines(result)] == [keys, keys]
        assert [each["analysis_id"] for each in json_lines(result)] == harness.ids
        assert [each["status"] for each in json_lines(result)] == ["failed", "success"]
        assert [each["finished"] for each in json_lines(result)] == [True, True]
        shown = harness.ochy("status", harness.ids[1])
        assert shown.stdout.split()[-3:] == [harness.ids[1], "success", "100"]


def test_status_of_an_unknown_id_does_not_hide_the_others(harness: CliHarness) -> None:
    """Each analysis that cannot be polled is reported, and the exit code is 1."""
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side").exit_code == 0
    result = harness.ochy("status", "unknown", *harness.ids)
    assert result.exit_code == 1
    assert "unknown: " in result.stderr
    assert "HTTP 404" in result.stderr
    assert harness.ids[0] in result.stdout


# --- list -----------------------------------------------------------------------------------------


def test_list_shows_all_analyses(harness: CliHarness) -> None:
    """Those of the account or of one subject, with a note on what the vendor does not document."""
    subject = created(harness)
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side").exit_code == 0
    assert harness.analyze(*harness.clips("b.mp4"), "--view", "back", "--subject-id", subject).exit_code == 0
    first, second = harness.ids
    result = harness.ochy("list")
    assert result.exit_code == 0
    for words in ("2 analyses", first, second, subject, "side", "back", "success", "proves nothing"):
        assert words in result.stdout
    records = {each["analysis_id"]: each for each in json_lines(harness.ochy("list", "--json"))}
    assert records.keys() == {first, second}
    assert (records[first]["subject_id"], records[second]["subject_id"]) == (None, subject)
    assert {tuple(each)[:5] for each in records.values()} == {
        ("analysis_id", "subject_id", "view", "status", "created_at")
    }
    of_subject = harness.ochy("list", "--subject", subject)
    assert second in of_subject.stdout
    assert first not in of_subject.stdout
    assert "subject" not in of_subject.stdout.splitlines()[1]


def test_an_empty_list_proves_nothing(harness: CliHarness) -> None:
    """A message on stderr says so; as JSON there is no line."""
    result = harness.ochy("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no analyses" in result.stderr
    assert "proves nothing" in result.stderr
    assert harness.ochy("list", "--json").stdout == ""


def test_the_list_of_an_unknown_subject_is_not_found(harness: CliHarness) -> None:
    """Exit code 1, with the HTTP status."""
    result = harness.ochy("list", "--subject", "s1")
    assert (result.exit_code, result.stdout, "HTTP 404" in result.stderr) == (1, "", True)


@pytest.mark.parametrize(
    "words", [("list",), ("status", "a1"), ("subjects", "list"), ("exercises", "HeadG"), ("webhook", "show")]
)
def test_without_a_key_nothing_is_sent(harness: CliHarness, words: tuple[str, ...]) -> None:
    """Exit code 3, and the error says how to set the key."""
    result = harness.ochy(*words, OCHY_API_KEY=None)
    assert (result.exit_code, harness.service.requests) == (3, ())
    assert "Set OCHY_API_KEY" in result.stderr


# --- exercises ------------------------------------------------------------------------------------


def test_exercises_are_shown_for_keys(harness: CliHarness) -> None:
    """With repetitions and durations, in the requested language."""
    result = harness.ochy("exercises", "HeadB", "PelvicB")
    assert result.exit_code == 0
    assert "each" in result.stdout.splitlines()[1]
    assert " s" in result.stdout
    assert harness.ochy("exercises", "HeadB", "--language", "fr").stdout != harness.ochy("exercises", "HeadB").stdout


def test_exercises_as_json_hold_unsigned_links(harness: CliHarness) -> None:
    """A link with a query may be signed, so it is masked."""
    media = {"image": "https://cdn.example.org/a.jpg", "video": "https://cdn.example.org/a.mp4?signature=1"}
    body = json.dumps([{"title": "Plank", "media": {**media, "more": "https://x/y"}, "tip": "http://z"}]).encode()
    harness.faults("POST /exercises", ReplaceBody(body))
    (record,) = json_lines(harness.ochy("exercises", "HeadB", "--json"))
    assert record["title"] == "Plank"
    assert record["media"] == {**media, "video": "[link]", "video_portrait": None, "more": "[link]"}
    assert record["tip"] == "[link]"


def test_search_keys_are_read_from_a_results_file(harness: CliHarness) -> None:
    """Each key is requested once."""
    out = harness.folder / "out"
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side", "--out", str(out)).exit_code == 0
    (kept,) = out.glob("*.results.json")
    result = harness.ochy("exercises", "--from", str(kept), "--json")
    assert result.exit_code == 0, result.output
    titles = [each["title"] for each in json_lines(result)]
    assert titles
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is not JSON"), (b"[" * 100_000, "is not JSON"), (b"\xff", "is not JSON"), (b"{}", "no search keys")],
)
def test_a_file_without_search_keys_is_refused(harness: CliHarness, content: bytes, message: str) -> None:
    """Exit code 2, before anything is sent."""
    (harness.folder / "results.json").write_bytes(content)
    result = harness.ochy("exercises", "--from", str(harness.folder / "results.json"))
    assert (result.exit_code, message in result.stderr, harness.service.requests) == (2, True, ())


def test_unknown_search_keys_are_reported(harness: CliHarness) -> None:
    """The answer without exercises is no error, but a message says so."""
    result = harness.ochy("exercises", "Nope")
    assert (result.exit_code, result.stdout, "no exercises" in result.stderr) == (0, "", True)
    assert harness.ochy("exercises").exit_code == 2


# --- webhook --------------------------------------------------------------------------------------


def test_the_webhook_is_set_and_shown_without_its_token(harness: CliHarness) -> None:
    """Only the host of its URL is printed, as text and as JSON."""
    shown = harness.ochy("webhook", "show")
    assert (shown.exit_code, shown.stdout, "ochy webhook set URL" in shown.stderr) == (0, "", True)
    outputs = [
        harness.ochy("webhook", "set", HOOK),
        harness.ochy("webhook", "show"),
        harness.ochy("webhook", "show", "--json"),
    ]
    for result in outputs:
        assert result.exit_code == 0, result.output
        assert "hooks.example.org" in result.stdout
        assert "private" not in result.output
    (record,) = json_lines(outputs[-1])
    assert list(record) == ["stored", "host", "enabled", "updated_at", "token_matches"]
    assert (record["stored"], record["enabled"]) == (True, True)
    assert stored(harness)["url"] == HOOK


def stored(harness: CliHarness) -> dict[str, object]:
    answer = harness.service.handle(ServiceRequest("GET", "/webhook", {"apiKey": API_KEY}), time.time())
    settings: dict[str, object] = json.loads(answer.body)
    return settings


def test_the_stored_webhook_is_disabled_without_its_url(harness: CliHarness) -> None:
    """The URL is shown nowhere, so the user may not have it."""
    none = harness.ochy("webhook", "set", "--disable")
    assert (none.exit_code, "give its URL" in none.stderr) == (2, True)
    harness.ochy("webhook", "set", HOOK)
    off = harness.ochy("webhook", "set", "--disable")
    assert (off.exit_code, "off" in off.stdout) == (0, True)
    assert (stored(harness)["url"], stored(harness)["enabled"]) == (HOOK, False)


def test_a_url_can_come_from_stdin(harness: CliHarness) -> None:
    """This keeps its token out of the history and the process list."""
    env = {"OCHY_BASE_URL": harness.emulator.url, "OCHY_API_KEY_FILE": None}
    result = CliRunner().invoke(ochy, ["webhook", "set", "-", "--disable"], input=f"{HOOK}\n", env=env)
    assert (result.exit_code, "private" in result.output) == (0, False)
    assert (stored(harness)["url"], stored(harness)["enabled"]) == (HOOK, False)


@pytest.mark.parametrize("words", [(), ("http://hooks.example.org/private",), ("private",), ("",)])
def test_an_invalid_webhook_url_is_refused(harness: CliHarness, words: tuple[str, ...]) -> None:
    """Exit code 2, nothing is sent, and the URL is not repeated."""
    result = harness.ochy("webhook", "set", *words)
    assert (result.exit_code, harness.service.requests, "private" in result.output) == (2, (), False)


def test_unknown_webhook_settings_are_hidden(harness: CliHarness) -> None:
    """A text under an unknown key may be a secret: only numbers and booleans are shown."""
    settings = {"url": HOOK, "enabled": True, "secret": "private", "retries": 3, "more": {"a": "private"}}
    harness.faults("GET /webhook", ReplaceBody(json.dumps(settings).encode()))
    result = harness.ochy("webhook", "show", "--json")
    (record,) = json_lines(result)
    assert (record["secret"], record["retries"], record["more"]) == (HIDDEN, 3, HIDDEN)
    assert "private" not in result.output


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("anlayze", "a.mp4"), "No such command 'anlayze'. Did you mean 'analyze'?"),
        (("jurnal",), "Did you mean 'journal'?"),
        (("journal", "shwo"), "Did you mean 'show'?"),
        (("webhook", "sett"), "Did you mean 'set'?"),
        (("subject",), "Did you mean 'subjects'?"),
        (("wait", "--tiemout", "5", "x"), "--timeout"),
        (("analyze", "--heigth", "1.8", "a.mp4"), "--height"),
    ],
)
def test_similar_names_are_suggested(words: tuple[str, ...], message: str) -> None:
    """For commands, subcommands and options; exit code 2."""
    result = run_cli(*words)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_dissimilar_names_are_not_suggested() -> None:
    """Options before a command are still recognized as options."""
    assert "Did you mean" not in run_cli("zzz").stderr
    assert "No such option" in run_cli("--zzz").stderr


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("status",),
        ("exercises",),
        *(("subjects", name) for name in ("list", "show", "create", "update", "delete")),
        *(("webhook", name) for name in ("show", "set", "listen")),
    ],
)
def test_help_has_an_example_and_fits_80_columns(words: tuple[str, ...]) -> None:
    """The example can be copied."""
    result = run_cli(*words, "--help").stdout
    assert f"    ochy {' '.join(words)}" in result
    assert max(map(len, result.splitlines())) <= 80


@pytest.mark.parametrize("group", ["journal", "subjects", "webhook"])
def test_group_help_shows_complete_sentences(group: str) -> None:
    """No description is cut at the end of a line."""
    result = run_cli(group, "--help").stdout.partition("\nCommands:\n")[2]
    assert result
    assert "..." not in result


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_every_command_fits_80_columns(name: str) -> None:
    """Long options wrap."""
    assert max(map(len, run_cli(name, "--help").stdout.splitlines())) <= 80
