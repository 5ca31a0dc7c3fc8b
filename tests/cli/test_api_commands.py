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
from tests.support.cli_harness import CliRunner, Shop, eventually, lines, opened, process, run

CREATE = "POST /subjects"
DELETE = "POST /subjects/{subject_id}/delete"
HOOK = "https://user:private@hooks.example.org/private?token=private"


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Shop]:
    """A shop whose analyses take a fraction of a second."""
    with opened(world(queueing=0.05, durations=(0.1, 0.2)), tmp_path) as it:
        yield it


def created(shop: Shop, *profile: str) -> str:
    """The id of a new subject."""
    result = shop.ochy("subjects", "create", *(profile or ("--name", "Ada")))
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


# --- subjects -------------------------------------------------------------------------------------


def test_a_subject_lives_and_dies(shop: Shop) -> None:
    """Created, listed, shown with units, changed in part, deleted: each by one command."""
    profile = ("--name", "Ada Lovelace", "--email", "ada@example.org", "--height", "1.75", "--weight", "68")
    subject = created(shop, *profile)
    listed = shop.ochy("subjects", "list")
    assert (listed.exit_code, listed.stdout.startswith("1 subject\n")) == (0, True)
    for words in (subject, "Ada Lovelace", "1.75 m", "68.0 kg"):
        assert words in listed.stdout
    assert shop.ochy("subjects", "update", subject, "--weight", "66.5").exit_code == 0
    shown = shop.ochy("subjects", "show", subject)
    for words in ("Ada Lovelace", "ada@example.org", "1.75 m", "66.5 kg"):
        assert words in shown.stdout
    assert "Ada" not in shown.stderr
    deleted = shop.ochy("subjects", "delete", subject, "--yes")
    assert (deleted.exit_code, deleted.stderr) == (0, "Deleted.\n")
    gone = shop.ochy("subjects", "show", subject)
    assert (gone.exit_code, gone.stdout, "404" in gone.stderr) == (1, "", True)


def test_subjects_as_json_have_stable_keys(shop: Shop) -> None:
    """One object a line, the same keys whatever is known of a subject."""
    subjects = {created(shop), created(shop, "--height", "1.8")}
    told = lines(shop.ochy("subjects", "list", "--json"))
    keys = ["subject_id", "email", "name", "height", "weight", "created_at"]
    assert {each["subject_id"] for each in told} == subjects
    assert [list(each) for each in told] == [keys, keys]
    (one,) = lines(shop.ochy("subjects", "show", subjects.pop(), "--json"))
    assert list(one) == keys
    (answer,) = lines(shop.ochy("subjects", "update", one["subject_id"], "--name", "Eve", "--json"))
    assert list(answer) == ["subject_id", "message"]
    (answer,) = lines(shop.ochy("subjects", "delete", one["subject_id"], "--yes", "--json"))
    assert answer["subject_id"] == one["subject_id"]


def test_unknown_keys_are_kept_and_links_masked(shop: Shop) -> None:
    """What the vendor adds comes through behind the promised keys, no link and no control character with it."""
    subject_id = created(shop)
    subject = {"id": "s1", "name": "A\x1b[2J", "age": 41, "photo": "https://store/x?signature=1", "email": None}
    shop.faults(
        "GET /subjects/{subject_id}", ReplaceBody(json.dumps(subject).encode(), {"content-type": "application/json"}), 2
    )
    (told,) = lines(shop.ochy("subjects", "show", subject_id, "--json"))
    assert (told["subject_id"], told["age"], told["photo"]) == ("s1", 41, "[link]")
    assert "id" not in told
    assert "\x1b" not in shop.ochy("subjects", "show", subject_id).output


def test_an_account_without_subjects_says_so(shop: Shop) -> None:
    """In words with the next command, on stderr; as JSON nothing is no line."""
    result = shop.ochy("subjects", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "ochy subjects create --name" in result.stderr
    assert shop.ochy("subjects", "list", "--json").stdout == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create",), "Give at least one of --name"),
        (("create", "--height", "175"), "--height: looks like centimeters"),
        (("create", "--name", " "), "--name: must be a non-empty text"),
        (("update", "s1"), "Give at least one of --name"),
        (("update", "s1", "--weight", "68000"), "--weight: looks like grams"),
        (("update", "", "--weight", "68"), "must be an id"),
        (("delete", "s1"), "ochy subjects delete --yes s1"),
        (("delete", "-s1"), "No such option"),
        (("lst",), "Did you mean 'list'?"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_sent(shop: Shop, words: tuple[str, ...], told: str) -> None:
    """Exit code 2, and what to type instead."""
    result = shop.ochy("subjects", *words)
    assert (result.exit_code, shop.service.requests) == (2, ())
    assert told in result.stderr


@pytest.mark.parametrize(
    "fault", [Respond(503), RespondHtml(502), ReplaceBody(b"<html>"), DisconnectAfter(charged=False)]
)
def test_a_subject_is_not_created_twice_on_a_doubt(shop: Shop, fault: Fault) -> None:
    """The server may have created it: one request, and the command that shows whether it did."""
    shop.faults(CREATE, fault)
    result = shop.ochy("subjects", "create", "--name", "Ada Lovelace")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "may have been created all the same" in result.stderr
    assert "`ochy subjects list`" in result.stderr
    assert "Ada" not in result.output
    assert shop.service.count(CREATE) <= 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_a_creation_that_is_interrupted_is_a_doubt(shop: Shop, tmp_path: Path) -> None:
    """Ctrl-C while nobody knows: exit code 130, and the command that shows whether the subject is there."""
    shop.faults(CREATE, Delay(60, after=True))
    (tmp_path / "output").mkdir()
    words = ("subjects", "create", "--name", "Ada")
    with process(*words, folder=tmp_path / "output", env=shop.environment()) as child:
        eventually(lambda: shop.service.count(CREATE))
        child.send_signal(signal.SIGINT)
        code = child.wait(10)
    told = (tmp_path / "output" / "stderr").read_text()
    assert (code, "may have been created all the same" in told) == (130, True), told


def test_quiet_leaves_only_what_was_asked_for(shop: Shop) -> None:
    """The id on stdout, nothing on stderr; an error is told all the same."""
    result = shop.ochy("subjects", "create", "--name", "Ada", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "HTTP 404" in shop.ochy("subjects", "show", "unknown", "--quiet").stderr


def test_a_refused_creation_is_no_doubt(shop: Shop) -> None:
    """A key that is not valid created nothing; exit code 3."""
    result = shop.ochy("subjects", "create", "--name", "Ada", OCHY_API_KEY="4f1d-wrong-key")
    assert result.exit_code == 3
    assert "may have been created" not in result.stderr


def test_a_deletion_in_doubt_says_so(shop: Shop) -> None:
    """It is not repeated either: the second time the subject would not be found."""
    subject = created(shop)
    shop.faults(DELETE, Respond(500))
    result = shop.ochy("subjects", "delete", subject, "--yes")
    assert result.exit_code == 1
    assert "may have been deleted all the same" in result.stderr


def test_an_unknown_subject_is_not_found(shop: Shop) -> None:
    """For every command that names one: exit code 1 and the status."""
    for words in (("show", "s1"), ("update", "s1", "--name", "Eve"), ("delete", "s1", "--yes")):
        result = shop.ochy("subjects", *words)
        assert (result.exit_code, "HTTP 404" in result.stderr) == (1, True), words
        assert "may have been" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, False), (b"n\n", 1, True)])
def test_a_deletion_asks_on_a_terminal(shop: Shop, answer: bytes, code: int, left: bool) -> None:
    """Without --yes nothing goes unless the user says so."""
    import pty
    import subprocess

    subject = created(shop)
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "ochy_async.cli", "subjects", "delete", subject]
    os.write(outer, answer)
    child = subprocess.run(  # noqa: S603
        command, stdin=inner, capture_output=True, env={**os.environ, **shop.environment()}, timeout=20, check=False
    )
    os.close(inner)
    os.close(outer)
    assert (child.returncode, f"Delete the subject {subject}?".encode() in child.stderr) == (code, True), child.stderr
    assert bool(lines(shop.ochy("subjects", "list", "--json"))) is left


@pytest.mark.parametrize(("height", "weight"), [("1,75", "68"), ("175 cm", "68 kg")])
def test_measures_are_read_as_people_write_them(shop: Shop, height: str, weight: str) -> None:
    """As `ochy analyze` reads them, where nothing else can be meant."""
    subject = created(shop, "--height", height, "--weight", weight)
    (told,) = lines(shop.ochy("subjects", "show", subject, "--json"))
    assert (told["height"], told["weight"]) == (1.75, 68)


# --- status ---------------------------------------------------------------------------------------


def test_status_looks_once(tmp_path: Path) -> None:
    """Each analysis on a line, without waiting; a failed one is a state like any other."""
    with opened(world(durations=(86_400, 86_400)), tmp_path) as shop:
        clips = shop.clips("a.mp4", "b.mp4")
        assert shop.analyze(*clips, "--view", "side", "--timeout", "0.5").exit_code == 1
        shop.skipped[0] = 3 * 86_400.0
        shop.faults("GET /analysis/{analysis_id}/results", ReplaceBody(b'{"video_id": "x", "status": "failed"}'))
        result = shop.ochy("status", *shop.ids, "--json")
        assert result.exit_code == 0, result.output
        keys = ["analysis_id", "status", "percentage", "finished"]
        assert [list(each) for each in lines(result)] == [keys, keys]
        assert [each["analysis_id"] for each in lines(result)] == shop.ids
        assert [each["status"] for each in lines(result)] == ["failed", "success"]
        assert [each["finished"] for each in lines(result)] == [True, True]
        shown = shop.ochy("status", shop.ids[1])
        assert shown.stdout.split()[-3:] == [shop.ids[1], "success", "100"]


def test_status_of_an_unknown_id_does_not_hide_the_others(shop: Shop) -> None:
    """Each that cannot be looked at is told, and the exit code is 1."""
    assert shop.analyze(*shop.clips("a.mp4"), "--view", "side").exit_code == 0
    result = shop.ochy("status", "unknown", *shop.ids)
    assert result.exit_code == 1
    assert "unknown: " in result.stderr
    assert "HTTP 404" in result.stderr
    assert shop.ids[0] in result.stdout


# --- list -----------------------------------------------------------------------------------------


def test_list_shows_all_analyses(shop: Shop) -> None:
    """Of the account or of one subject, with what the vendor says of each and what it does not document."""
    subject = created(shop)
    assert shop.analyze(*shop.clips("a.mp4"), "--view", "side").exit_code == 0
    assert shop.analyze(*shop.clips("b.mp4"), "--view", "back", "--subject-id", subject).exit_code == 0
    first, second = shop.ids
    result = shop.ochy("list")
    assert result.exit_code == 0
    for words in ("2 analyses", first, second, subject, "side", "back", "success", "proves nothing"):
        assert words in result.stdout
    told = {each["analysis_id"]: each for each in lines(shop.ochy("list", "--json"))}
    assert told.keys() == {first, second}
    assert (told[first]["subject_id"], told[second]["subject_id"]) == (None, subject)
    assert {tuple(each)[:5] for each in told.values()} == {
        ("analysis_id", "subject_id", "view", "status", "created_at")
    }
    of_subject = shop.ochy("list", "--subject", subject)
    assert second in of_subject.stdout
    assert first not in of_subject.stdout
    assert "subject" not in of_subject.stdout.splitlines()[1]


def test_an_empty_list_proves_nothing(shop: Shop) -> None:
    """That is said, on stderr; as JSON nothing is no line."""
    result = shop.ochy("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no analyses" in result.stderr
    assert "proves nothing" in result.stderr
    assert shop.ochy("list", "--json").stdout == ""


def test_the_list_of_an_unknown_subject_is_not_found(shop: Shop) -> None:
    """Exit code 1, with the status."""
    result = shop.ochy("list", "--subject", "s1")
    assert (result.exit_code, result.stdout, "HTTP 404" in result.stderr) == (1, "", True)


@pytest.mark.parametrize(
    "words", [("list",), ("status", "a1"), ("subjects", "list"), ("exercises", "HeadG"), ("webhook", "show")]
)
def test_without_a_key_nothing_is_sent(shop: Shop, words: tuple[str, ...]) -> None:
    """Exit code 3, and where to put the key."""
    result = shop.ochy(*words, OCHY_API_KEY=None)
    assert (result.exit_code, shop.service.requests) == (3, ())
    assert "Set OCHY_API_KEY" in result.stderr


# --- exercises ------------------------------------------------------------------------------------


def test_exercises_are_shown_for_keys(shop: Shop) -> None:
    """With how often and how long; in the language that is asked for."""
    result = shop.ochy("exercises", "HeadB", "PelvicB")
    assert result.exit_code == 0
    assert "each" in result.stdout.splitlines()[1]
    assert " s" in result.stdout
    assert shop.ochy("exercises", "HeadB", "--language", "fr").stdout != shop.ochy("exercises", "HeadB").stdout


def test_exercises_as_json_hold_the_links_that_cannot_be_signed(shop: Shop) -> None:
    """A plain address is what one asked for; one with a query may hold a signature."""
    media = {"image": "https://cdn.example.org/a.jpg", "video": "https://cdn.example.org/a.mp4?signature=1"}
    body = json.dumps([{"title": "Plank", "media": {**media, "more": "https://x/y"}, "tip": "http://z"}]).encode()
    shop.faults("POST /exercises", ReplaceBody(body))
    (told,) = lines(shop.ochy("exercises", "HeadB", "--json"))
    assert told["title"] == "Plank"
    assert told["media"] == {**media, "video": "[link]", "video_portrait": None, "more": "[link]"}
    assert told["tip"] == "[link]"


def test_exercises_are_found_from_kept_results(shop: Shop) -> None:
    """The search keys of a results file are what is asked for, each once."""
    out = shop.folder / "out"
    assert shop.analyze(*shop.clips("a.mp4"), "--view", "side", "--out", str(out)).exit_code == 0
    (kept,) = out.glob("*.results.json")
    result = shop.ochy("exercises", "--from", str(kept), "--json")
    assert result.exit_code == 0, result.output
    titles = [each["title"] for each in lines(result)]
    assert titles
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is not JSON"), (b"[" * 100_000, "is not JSON"), (b"\xff", "is not JSON"), (b"{}", "no search keys")],
)
def test_a_file_without_search_keys_is_told(shop: Shop, content: bytes, told: str) -> None:
    """Exit code 2, before anything is sent."""
    (shop.folder / "results.json").write_bytes(content)
    result = shop.ochy("exercises", "--from", str(shop.folder / "results.json"))
    assert (result.exit_code, told in result.stderr, shop.service.requests) == (2, True, ())


def test_no_exercises_are_told(shop: Shop) -> None:
    """Neither an error nor a silence."""
    result = shop.ochy("exercises", "Nope")
    assert (result.exit_code, result.stdout, "no exercises" in result.stderr) == (0, "", True)
    assert shop.ochy("exercises").exit_code == 2


# --- webhook --------------------------------------------------------------------------------------


def test_the_webhook_is_set_and_shown_without_its_token(shop: Shop) -> None:
    """Of the URL only the host is printed, whether for people or for programs."""
    shown = shop.ochy("webhook", "show")
    assert (shown.exit_code, shown.stdout, "ochy webhook set URL" in shown.stderr) == (0, "", True)
    outputs = [shop.ochy("webhook", "set", HOOK), shop.ochy("webhook", "show"), shop.ochy("webhook", "show", "--json")]
    for result in outputs:
        assert result.exit_code == 0, result.output
        assert "hooks.example.org" in result.stdout
        assert "private" not in result.output
    (told,) = lines(outputs[-1])
    assert list(told) == ["stored", "host", "enabled", "updated_at"]
    assert (told["stored"], told["enabled"]) == (True, True)
    assert stored(shop)["url"] == HOOK


def stored(shop: Shop) -> dict[str, object]:
    answer = shop.service.handle(ServiceRequest("GET", "/webhook", {"apiKey": API_KEY}), time.time())
    settings: dict[str, object] = json.loads(answer.body)
    return settings


def test_the_stored_webhook_is_turned_off_without_retyping_it(shop: Shop) -> None:
    """The URL is shown nowhere, so it must not be needed."""
    none = shop.ochy("webhook", "set", "--disable")
    assert (none.exit_code, "give its URL" in none.stderr) == (2, True)
    shop.ochy("webhook", "set", HOOK)
    off = shop.ochy("webhook", "set", "--disable")
    assert (off.exit_code, "off" in off.stdout) == (0, True)
    assert (stored(shop)["url"], stored(shop)["enabled"]) == (HOOK, False)


def test_a_url_can_come_from_stdin(shop: Shop) -> None:
    """So that its token is in no history and no list of processes."""
    env = {"OCHY_BASE_URL": shop.emulator.url, "OCHY_API_KEY_FILE": None}
    result = CliRunner().invoke(ochy, ["webhook", "set", "-", "--disable"], input=f"{HOOK}\n", env=env)
    assert (result.exit_code, "private" in result.output) == (0, False)
    assert (stored(shop)["url"], stored(shop)["enabled"]) == (HOOK, False)


@pytest.mark.parametrize("words", [(), ("http://hooks.example.org/private",), ("private",), ("",)])
def test_a_url_that_is_no_webhook_is_refused(shop: Shop, words: tuple[str, ...]) -> None:
    """Exit code 2, nothing is sent, and the URL is not repeated."""
    result = shop.ochy("webhook", "set", *words)
    assert (result.exit_code, shop.service.requests, "private" in result.output) == (2, (), False)


def test_what_nobody_knows_of_a_webhook_is_hidden(shop: Shop) -> None:
    """An unknown key may hold a secret: only numbers and booleans of it are shown."""
    settings = {"url": HOOK, "enabled": True, "secret": "private", "retries": 3, "more": {"a": "private"}}
    shop.faults("GET /webhook", ReplaceBody(json.dumps(settings).encode()))
    result = shop.ochy("webhook", "show", "--json")
    (told,) = lines(result)
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
    result = run(*words)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr


def test_nothing_is_guessed_far_off() -> None:
    """A word that resembles nothing is only unknown, and options before a command stay options."""
    assert "Did you mean" not in run("zzz").stderr
    assert "No such option" in run("--zzz").stderr


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
    told = run(*words, "--help").stdout
    assert f"    ochy {' '.join(words)}" in told
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("group", ["journal", "subjects", "webhook"])
def test_commands_of_a_group_are_told_in_whole_sentences(group: str) -> None:
    """Nothing ends in dots where the line was full."""
    told = run(group, "--help").stdout.partition("\nCommands:\n")[2]
    assert told
    assert "..." not in told


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_every_command_fits_80_columns(name: str) -> None:
    """However long its options are."""
    assert max(map(len, run(name, "--help").stdout.splitlines())) <= 80
