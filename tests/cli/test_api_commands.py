"""The rest of the API from the command line: subjects, lists, exercises, webhook. No output holds a secret."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from ochy_async.cli.app import COMMANDS, ochy
from ochy_async.cli.commands.webhook import HIDDEN
from ochy_async.emulator import Delay, DisconnectAfter, Fault, ReplaceBody, Respond, RespondHtml, ServiceRequest
from tests.conftest import world
from tests.support.canary import API_KEY
from tests.support.cli_harness import CliHarness, CliRunner, cli_harness, cli_process, json_lines, run_cli, wait_until

CREATE = "POST /subjects"
DELETE = "POST /subjects/{subject_id}/delete"
HOOK = "https://user:private@hooks.example.org/private?token=private"


@pytest.fixture
def harness(tmp_path: Path) -> Generator[CliHarness]:
    """A shop whose analyses take a fraction of a second."""
    with cli_harness(world(queue_seconds=0.05, analysis_seconds=(0.1, 0.2)), tmp_path) as it:
        yield it


def created(harness: CliHarness, *profile: str) -> str:
    """The id of a new subject."""
    result = harness.ochy("subjects", "create", *(profile or ("--name", "Ada")))
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


# --- subjects -------------------------------------------------------------------------------------


def test_a_subject_lives_and_dies(harness: CliHarness) -> None:
    """Created, listed, shown with units, changed in part, deleted: each by one command."""
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
    """One object a line, the same keys whatever is known of a subject."""
    subjects = {created(harness), created(harness, "--height", "1.8")}
    told = json_lines(harness.ochy("subjects", "list", "--json"))
    keys = ["subject_id", "email", "name", "height", "weight", "created_at"]
    assert {each["subject_id"] for each in told} == subjects
    assert [list(each) for each in told] == [keys, keys]
    (one,) = json_lines(harness.ochy("subjects", "show", subjects.pop(), "--json"))
    assert list(one) == keys
    (answer,) = json_lines(harness.ochy("subjects", "update", one["subject_id"], "--name", "Eve", "--json"))
    assert list(answer) == ["subject_id", "message"]
    (answer,) = json_lines(harness.ochy("subjects", "delete", one["subject_id"], "--yes", "--json"))
    assert answer["subject_id"] == one["subject_id"]


def test_unknown_keys_are_kept_and_links_masked(harness: CliHarness) -> None:
    """What the vendor adds comes through behind the promised keys, no link and no control character with it."""
    subject_id = created(harness)
    subject = {"id": "s1", "name": "A\x1b[2J", "age": 41, "photo": "https://store/x?signature=1", "email": None}
    harness.faults(
        "GET /subjects/{subject_id}", ReplaceBody(json.dumps(subject).encode(), {"content-type": "application/json"}), 2
    )
    (told,) = json_lines(harness.ochy("subjects", "show", subject_id, "--json"))
    assert (told["subject_id"], told["age"], told["photo"]) == ("s1", 41, "[link]")
    assert "id" not in told
    assert "\x1b" not in harness.ochy("subjects", "show", subject_id).output


def test_an_account_without_subjects_says_so(harness: CliHarness) -> None:
    """In words with the next command, on stderr; as JSON nothing is no line."""
    result = harness.ochy("subjects", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "ochy subjects create --name" in result.stderr
    assert harness.ochy("subjects", "list", "--json").stdout == ""


@pytest.mark.parametrize(
    ("words", "told"),
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
def test_wrong_words_are_refused_before_anything_is_sent(
    harness: CliHarness, words: tuple[str, ...], told: str
) -> None:
    """Exit code 2, and what to type instead."""
    result = harness.ochy("subjects", *words)
    assert (result.exit_code, harness.service.requests) == (2, ())
    assert told in result.stderr


@pytest.mark.parametrize(
    "fault", [Respond(503), RespondHtml(502), ReplaceBody(b"<html>"), DisconnectAfter(charged=False)]
)
def test_a_subject_is_not_created_twice_on_a_doubt(harness: CliHarness, fault: Fault) -> None:
    """The server may have created it: one request, and the command that shows whether it did."""
    harness.faults(CREATE, fault)
    result = harness.ochy("subjects", "create", "--name", "Ada Lovelace")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "may have been created all the same" in result.stderr
    assert "`ochy subjects list`" in result.stderr
    assert "Ada" not in result.output
    assert harness.service.count(CREATE) <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_a_creation_that_is_interrupted_is_a_doubt(harness: CliHarness, tmp_path: Path) -> None:
    """Ctrl-C while nobody knows: exit code 130, and the command that shows whether the subject is there."""
    harness.faults(CREATE, Delay(60, after=True))
    (tmp_path / "output").mkdir()
    words = ("subjects", "create", "--name", "Ada")
    with cli_process(*words, folder=tmp_path / "output", env=harness.environment()) as child:
        wait_until(lambda: harness.service.count(CREATE))
        child.send_signal(signal.SIGINT)
        code = child.wait(10)
    told = (tmp_path / "output" / "stderr").read_text()
    assert (code, "may have been created all the same" in told) == (130, True), told


def test_quiet_leaves_only_what_was_asked_for(harness: CliHarness) -> None:
    """The id on stdout, nothing on stderr; an error is told all the same."""
    result = harness.ochy("subjects", "create", "--name", "Ada", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "HTTP 404" in harness.ochy("subjects", "show", "unknown", "--quiet").stderr


def test_a_refused_creation_is_no_doubt(harness: CliHarness) -> None:
    """A key that is not valid created nothing; exit code 3."""
    result = harness.ochy("subjects", "create", "--name", "Ada", OCHY_API_KEY="4f1d-wrong-key")
    assert result.exit_code == 3
    assert "may have been created" not in result.stderr


def test_a_deletion_in_doubt_says_so(harness: CliHarness) -> None:
    """It is not repeated either: the second time the subject would not be found."""
    subject = created(harness)
    harness.faults(DELETE, Respond(500))
    result = harness.ochy("subjects", "delete", subject, "--yes")
    assert result.exit_code == 1
    assert "may have been deleted all the same" in result.stderr


def test_an_unknown_subject_is_not_found(harness: CliHarness) -> None:
    """For every command that names one: exit code 1 and the status."""
    for words in (("show", "s1"), ("update", "s1", "--name", "Eve"), ("delete", "s1", "--yes")):
        result = harness.ochy("subjects", *words)
        assert (result.exit_code, "HTTP 404" in result.stderr) == (1, True), words
        assert "may have been" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, False), (b"n\n", 1, True)])
def test_a_deletion_asks_on_a_terminal(harness: CliHarness, answer: bytes, code: int, left: bool) -> None:
    """Without --yes nothing goes unless the user says so."""
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
    """As `ochy analyze` reads them, where nothing else can be meant."""
    subject = created(harness, "--height", height, "--weight", weight)
    (told,) = json_lines(harness.ochy("subjects", "show", subject, "--json"))
    assert (told["height"], told["weight"]) == (1.75, 68)


# --- status ---------------------------------------------------------------------------------------


def test_status_looks_once(tmp_path: Path) -> None:
    """Each analysis on a line, without waiting; a failed one is a state like any other."""
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
    """Each that cannot be looked at is told, and the exit code is 1."""
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side").exit_code == 0
    result = harness.ochy("status", "unknown", *harness.ids)
    assert result.exit_code == 1
    assert "unknown: " in result.stderr
    assert "HTTP 404" in result.stderr
    assert harness.ids[0] in result.stdout


# --- list -----------------------------------------------------------------------------------------


def test_list_shows_all_analyses(harness: CliHarness) -> None:
    """Of the account or of one subject, with what the vendor says of each and what it does not document."""
    subject = created(harness)
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side").exit_code == 0
    assert harness.analyze(*harness.clips("b.mp4"), "--view", "back", "--subject-id", subject).exit_code == 0
    first, second = harness.ids
    result = harness.ochy("list")
    assert result.exit_code == 0
    for words in ("2 analyses", first, second, subject, "side", "back", "success", "proves nothing"):
        assert words in result.stdout
    told = {each["analysis_id"]: each for each in json_lines(harness.ochy("list", "--json"))}
    assert told.keys() == {first, second}
    assert (told[first]["subject_id"], told[second]["subject_id"]) == (None, subject)
    assert {tuple(each)[:5] for each in told.values()} == {
        ("analysis_id", "subject_id", "view", "status", "created_at")
    }
    of_subject = harness.ochy("list", "--subject", subject)
    assert second in of_subject.stdout
    assert first not in of_subject.stdout
    assert "subject" not in of_subject.stdout.splitlines()[1]


def test_an_empty_list_proves_nothing(harness: CliHarness) -> None:
    """That is said, on stderr; as JSON nothing is no line."""
    result = harness.ochy("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no analyses" in result.stderr
    assert "proves nothing" in result.stderr
    assert harness.ochy("list", "--json").stdout == ""


def test_the_list_of_an_unknown_subject_is_not_found(harness: CliHarness) -> None:
    """Exit code 1, with the status."""
    result = harness.ochy("list", "--subject", "s1")
    assert (result.exit_code, result.stdout, "HTTP 404" in result.stderr) == (1, "", True)


@pytest.mark.parametrize(
    "words", [("list",), ("status", "a1"), ("subjects", "list"), ("exercises", "HeadG"), ("webhook", "show")]
)
def test_without_a_key_nothing_is_sent(harness: CliHarness, words: tuple[str, ...]) -> None:
    """Exit code 3, and where to put the key."""
    result = harness.ochy(*words, OCHY_API_KEY=None)
    assert (result.exit_code, harness.service.requests) == (3, ())
    assert "Set OCHY_API_KEY" in result.stderr


# --- exercises ------------------------------------------------------------------------------------


def test_exercises_are_shown_for_keys(harness: CliHarness) -> None:
    """With how often and how long; in the language that is asked for."""
    result = harness.ochy("exercises", "HeadB", "PelvicB")
    assert result.exit_code == 0
    assert "each" in result.stdout.splitlines()[1]
    assert " s" in result.stdout
    assert harness.ochy("exercises", "HeadB", "--language", "fr").stdout != harness.ochy("exercises", "HeadB").stdout


def test_exercises_as_json_hold_the_links_that_cannot_be_signed(harness: CliHarness) -> None:
    """A plain address is what one asked for; one with a query may hold a signature."""
    media = {"image": "https://cdn.example.org/a.jpg", "video": "https://cdn.example.org/a.mp4?signature=1"}
    body = json.dumps([{"title": "Plank", "media": {**media, "more": "https://x/y"}, "tip": "http://z"}]).encode()
    harness.faults("POST /exercises", ReplaceBody(body))
    (told,) = json_lines(harness.ochy("exercises", "HeadB", "--json"))
    assert told["title"] == "Plank"
    assert told["media"] == {**media, "video": "[link]", "video_portrait": None, "more": "[link]"}
    assert told["tip"] == "[link]"


def test_exercises_are_found_from_kept_results(harness: CliHarness) -> None:
    """The search keys of a results file are what is asked for, each once."""
    out = harness.folder / "out"
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side", "--out", str(out)).exit_code == 0
    (kept,) = out.glob("*.results.json")
    result = harness.ochy("exercises", "--from", str(kept), "--json")
    assert result.exit_code == 0, result.output
    titles = [each["title"] for each in json_lines(result)]
    assert titles
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is not JSON"), (b"[" * 100_000, "is not JSON"), (b"\xff", "is not JSON"), (b"{}", "no search keys")],
)
def test_a_file_without_search_keys_is_told(harness: CliHarness, content: bytes, told: str) -> None:
    """Exit code 2, before anything is sent."""
    (harness.folder / "results.json").write_bytes(content)
    result = harness.ochy("exercises", "--from", str(harness.folder / "results.json"))
    assert (result.exit_code, told in result.stderr, harness.service.requests) == (2, True, ())


def test_no_exercises_are_told(harness: CliHarness) -> None:
    """Neither an error nor a silence."""
    result = harness.ochy("exercises", "Nope")
    assert (result.exit_code, result.stdout, "no exercises" in result.stderr) == (0, "", True)
    assert harness.ochy("exercises").exit_code == 2


# --- webhook --------------------------------------------------------------------------------------


def test_the_webhook_is_set_and_shown_without_its_token(harness: CliHarness) -> None:
    """Of the URL only the host is printed, whether for people or for programs."""
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
    (told,) = json_lines(outputs[-1])
    assert list(told) == ["stored", "host", "enabled", "updated_at"]
    assert (told["stored"], told["enabled"]) == (True, True)
    assert stored(harness)["url"] == HOOK


def stored(harness: CliHarness) -> dict[str, object]:
    answer = harness.service.handle(ServiceRequest("GET", "/webhook", {"apiKey": API_KEY}), time.time())
    settings: dict[str, object] = json.loads(answer.body)
    return settings


def test_the_stored_webhook_is_turned_off_without_retyping_it(harness: CliHarness) -> None:
    """The URL is shown nowhere, so it must not be needed."""
    none = harness.ochy("webhook", "set", "--disable")
    assert (none.exit_code, "give its URL" in none.stderr) == (2, True)
    harness.ochy("webhook", "set", HOOK)
    off = harness.ochy("webhook", "set", "--disable")
    assert (off.exit_code, "off" in off.stdout) == (0, True)
    assert (stored(harness)["url"], stored(harness)["enabled"]) == (HOOK, False)


def test_a_url_can_come_from_stdin(harness: CliHarness) -> None:
    """So that its token is in no history and no list of processes."""
    env = {"OCHY_BASE_URL": harness.emulator.url, "OCHY_API_KEY_FILE": None}
    result = CliRunner().invoke(ochy, ["webhook", "set", "-", "--disable"], input=f"{HOOK}\n", env=env)
    assert (result.exit_code, "private" in result.output) == (0, False)
    assert (stored(harness)["url"], stored(harness)["enabled"]) == (HOOK, False)


@pytest.mark.parametrize("words", [(), ("http://hooks.example.org/private",), ("private",), ("",)])
def test_a_url_that_is_no_webhook_is_refused(harness: CliHarness, words: tuple[str, ...]) -> None:
    """Exit code 2, nothing is sent, and the URL is not repeated."""
    result = harness.ochy("webhook", "set", *words)
    assert (result.exit_code, harness.service.requests, "private" in result.output) == (2, (), False)


def test_what_nobody_knows_of_a_webhook_is_hidden(harness: CliHarness) -> None:
    """An unknown key may hold a secret: only numbers and booleans of it are shown."""
    settings = {"url": HOOK, "enabled": True, "secret": "private", "retries": 3, "more": {"a": "private"}}
    harness.faults("GET /webhook", ReplaceBody(json.dumps(settings).encode()))
    result = harness.ochy("webhook", "show", "--json")
    (told,) = json_lines(result)
    assert (told["secret"], told["retries"], told["more"]) == (HIDDEN, 3, HIDDEN)
    assert "private" not in result.output


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
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
def test_what_was_probably_meant_is_said(words: tuple[str, ...], told: str) -> None:
    """For commands, for commands of commands, and for options; exit code 2."""
    result = run_cli(*words)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr


def test_nothing_is_guessed_far_off() -> None:
    """A word that resembles nothing is only unknown, and options before a command stay options."""
    assert "Did you mean" not in run_cli("zzz").stderr
    assert "No such option" in run_cli("--zzz").stderr


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("status",),
        ("exercises",),
        *(("subjects", name) for name in ("list", "show", "create", "update", "delete")),
        *(("webhook", name) for name in ("show", "set")),
    ],
)
def test_help_has_an_example_and_fits_80_columns(words: tuple[str, ...]) -> None:
    """One can copy from it, and nothing of it wraps."""
    told = run_cli(*words, "--help").stdout
    assert f"    ochy {' '.join(words)}" in told
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("group", ["journal", "subjects", "webhook"])
def test_commands_of_a_group_are_told_in_whole_sentences(group: str) -> None:
    """Nothing ends in dots where the line was full."""
    told = run_cli(group, "--help").stdout.partition("\nCommands:\n")[2]
    assert told
    assert "..." not in told


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_every_command_fits_80_columns(name: str) -> None:
    """However long its options are."""
    assert max(map(len, run_cli(name, "--help").stdout.splitlines())) <= 80
