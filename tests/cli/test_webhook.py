"""`ochy webhook set` makes and replaces tokens and prints each once; runs warn of notifications that nobody gets."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click", reason="needs the extra cli: click is not installed")

from ochy_async.cli.app import ochy
from ochy_async.cli.webhook_url import WebhookToken, WebhookUrl
from ochy_async.emulator import Delay, DisconnectAfter, Fault, FaultPlan, FaultRule, Respond, ServiceRequest
from tests.support.canary import API_KEY, HOOK_TOKEN
from tests.support.cli_harness import CliHarness, CliRunner, Result, json_lines

PLAIN = "https://hooks.example.org/ochy"
GET, PUT = "GET /webhook", "PUT /webhook"
NOTIFY = "--notify-via-webhook"


def stored(harness: CliHarness) -> dict[str, Any]:
    """The settings as the server has them."""
    answer = harness.service.handle(ServiceRequest("GET", "/webhook", {"apiKey": API_KEY}), time.time())
    settings: dict[str, Any] = json.loads(answer.body)
    return settings


def stored_url(harness: CliHarness) -> str:
    return str(stored(harness)["url"])


def with_token(harness: CliHarness) -> str:
    """The URL of a webhook that was stored with a new token."""
    assert harness.ochy("webhook", "set", PLAIN, "--new-token").exit_code == 0
    return stored_url(harness)


# --- making a token -----------------------------------------------------------------------------------


def test_a_new_token_is_appended_stored_and_printed_once(harness: CliHarness) -> None:
    """The URL and the variable of the receiver are on stdout, each on its own line; stderr holds no token."""
    result = harness.ochy("webhook", "set", PLAIN, "--new-token")
    url = stored_url(harness)
    token = url.rpartition("/")[2]
    assert result.exit_code == 0
    assert url.startswith(f"{PLAIN}/")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    lines = result.stdout.splitlines()
    assert lines.count(f"  {url}") == 1
    assert lines.count(f"  export OCHY_WEBHOOK_TOKEN={token}") == 1
    assert result.stdout.count(token) == 2
    assert "shown only now" in result.stdout
    assert token not in result.stderr
    assert "OCHY_WEBHOOK_TOKEN" in result.stderr
    for words in (("webhook", "show"), ("webhook", "show", "--json"), ("doctor",), ("webhook", "set", "--disable")):
        assert token not in harness.ochy(*words).output


def test_a_new_token_as_json(harness: CliHarness) -> None:
    """One object with the settings, the URL and the token; the URL is complete even if it has a query."""
    (record,) = json_lines(harness.ochy("webhook", "set", f"{PLAIN}/?tenant=7", "--new-token", "--json"))
    assert list(record) == ["stored", "host", "enabled", "updated_at", "token_matches", "url", "token"]
    assert record["url"] == stored_url(harness) == f"{PLAIN}/{record['token']}?tenant=7"


def test_each_token_is_another(harness: CliHarness) -> None:
    """And each is recognized as one."""
    urls = {with_token(harness) for _ in range(3)}
    assert len(urls) == 3
    assert all(WebhookUrl(each).ends_in_token for each in urls)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h.example", "https://h.example/T"),
        ("https://h.example/", "https://h.example/T"),
        ("https://s/s", "https://s/s/T"),
        ("https://u:p@h.example:8443/a/b/?x=/1#/f", "https://u:p@h.example:8443/a/b/T?x=/1#/f"),
        ("https://h.example?x=1", "https://h.example/T?x=1"),
    ],
)
def test_the_token_is_the_end_of_the_path(url: str, expected: str) -> None:
    """Whatever else the URL has."""
    assert WebhookUrl(url).with_token(WebhookToken("T")).text == expected


@pytest.mark.parametrize(
    ("segment", "is_token"),
    [
        ("ochy", False),
        ("7c9e6679-7425-40de-944b-e07fc1f90ae7", False),
        ("notifications-of-the-partner-api-2026", False),
        ("0123456789abcdef0123456789abcdef", False),
        ("", False),
        ("cuQFmBaZOum6oC2XjM429vEB7E8jvN4XZtJM8TStXjg", True),
    ],
)
def test_only_what_was_surely_made_as_a_token_is_one(segment: str, is_token: bool) -> None:
    """An id or a name at the end of the path is never replaced."""
    assert WebhookUrl(f"{PLAIN}/{segment}").ends_in_token is is_token


def test_neither_url_nor_token_has_a_repr() -> None:
    """A traceback that shows local variables does not show them."""
    token = WebhookToken.new()
    url = WebhookUrl(PLAIN).with_token(token)
    assert token.text not in f"{token} {token!r} {url} {url!r}"


# --- a URL that has a token ---------------------------------------------------------------------------


def test_a_url_with_a_token_gets_no_second_one(harness: CliHarness) -> None:
    """Exit code 2, nothing is sent, and the URL is not repeated."""
    url = f"{PLAIN}/{WebhookToken.new().text}"
    result = harness.ochy("webhook", "set", url, "--new-token")
    assert (result.exit_code, harness.service.requests) == (2, ())
    assert "already ends in a token" in result.stderr
    assert url not in result.output


def test_a_url_with_a_token_of_its_own_is_stored_as_it_is(harness: CliHarness) -> None:
    """It is never printed, and there is no advice to add a token."""
    url = f"{PLAIN}/{WebhookToken.new().text}"
    result = harness.ochy("webhook", "set", url)
    assert (result.exit_code, stored_url(harness), result.stderr) == (0, url, "")
    assert url.rpartition("/")[2] not in result.stdout


def test_a_url_without_a_token_is_stored_with_advice(harness: CliHarness) -> None:
    """Another receiver may not need one."""
    result = harness.ochy("webhook", "set", PLAIN)
    assert (result.exit_code, stored_url(harness)) == (0, PLAIN)
    assert "--new-token" in result.stderr


def test_a_url_from_stdin_gets_a_token(harness: CliHarness) -> None:
    """The same as one that is typed."""
    env = {"OCHY_BASE_URL": harness.emulator.url, "OCHY_API_KEY_FILE": None}
    result = CliRunner().invoke(ochy, ["webhook", "set", "-", "--new-token"], input=f"{PLAIN}\n", env=env)
    assert result.exit_code == 0, result.output
    assert stored_url(harness) in result.stdout


@pytest.mark.parametrize("url", ["http://hooks.example.org/private", "private", "", "https://[::1/private"])
def test_an_invalid_url_gets_no_token(harness: CliHarness, url: str) -> None:
    """Exit code 2, and nothing is sent or repeated."""
    result = harness.ochy("webhook", "set", url, "--new-token")
    assert (result.exit_code, harness.service.requests, "private" in result.output) == (2, (), False)


@pytest.mark.parametrize(
    ("variable", "text", "matches"),
    [
        (HOOK_TOKEN, "as in OCHY_WEBHOOK_TOKEN", True),
        (f"another-token-0000,{HOOK_TOKEN}", "as in OCHY_WEBHOOK_TOKEN", True),
        ("another-token-0000", "not as in OCHY_WEBHOOK_TOKEN", False),
        (None, "", None),
    ],
)
def test_the_stored_token_is_compared_with_the_variable(
    harness: CliHarness, variable: str | None, text: str, matches: bool | None
) -> None:
    """So that a receiver that refuses everything explains itself."""
    harness.ochy("webhook", "set", f"{PLAIN}/{HOOK_TOKEN}")
    shown = harness.ochy("webhook", "show", OCHY_WEBHOOK_TOKEN=variable)
    (record,) = json_lines(harness.ochy("webhook", "show", "--json", OCHY_WEBHOOK_TOKEN=variable))
    rows = {line.split()[0]: line.strip().partition(" ")[2].strip() for line in shown.stdout.splitlines()}
    assert record["token_matches"] is matches
    assert rows["token"] == (text or "–")


# --- rotation -----------------------------------------------------------------------------------------


def test_the_token_of_the_stored_url_is_replaced(harness: CliHarness) -> None:
    """The rest of the URL stays, and the advice says how the receiver takes both tokens."""
    old = with_token(harness)
    result = harness.ochy("webhook", "set", "--new-token")
    new = stored_url(harness)
    assert result.exit_code == 0, result.output
    assert new != old
    assert new.rpartition("/")[0] == old.rpartition("/")[0] == PLAIN
    assert new in result.stdout
    assert old.rpartition("/")[2] not in result.output
    assert "OCHY_WEBHOOK_TOKEN=NEW,OLD" in result.stderr


def test_a_token_of_another_form_is_replaced_if_the_receiver_has_it(harness: CliHarness) -> None:
    """It is then surely the token."""
    harness.ochy("webhook", "set", f"{PLAIN}/{HOOK_TOKEN}")
    assert harness.ochy("webhook", "set", "--new-token").exit_code == 0
    assert re.fullmatch(rf"{PLAIN}/[\w-]{{43}}", stored_url(harness))


@pytest.mark.parametrize(("option", "enabled"), [((), False), (("--enable",), True)])
def test_a_rotation_does_not_enable_a_disabled_webhook(
    harness: CliHarness, option: tuple[str, ...], enabled: bool
) -> None:
    """Unless it is asked to."""
    with_token(harness)
    harness.ochy("webhook", "set", "--disable")
    assert harness.ochy("webhook", "set", "--new-token", *option).exit_code == 0
    assert stored(harness)["enabled"] is enabled


def test_a_stored_url_without_a_token_is_not_changed(harness: CliHarness) -> None:
    """Its last segment may be anything. Exit code 2."""
    url = f"{PLAIN}/7c9e6679-7425-40de-944b-e07fc1f90ae7"
    harness.ochy("webhook", "set", url)
    result = harness.ochy("webhook", "set", "--new-token")
    assert (result.exit_code, stored_url(harness)) == (2, url)
    assert "nothing was changed" in result.stderr


def test_no_webhook_gets_no_token(harness: CliHarness) -> None:
    """Exit code 2, and the message asks for the URL."""
    result = harness.ochy("webhook", "set", "--new-token")
    assert (result.exit_code, "give its URL" in result.stderr) == (2, True)
    assert stored(harness) == {}


@pytest.mark.parametrize("fault", [Respond(500), DisconnectAfter(charged=True)])
def test_a_token_that_may_have_been_stored_is_replaced_by_another(harness: CliHarness, fault: Fault) -> None:
    """The failed command says that the same command helps, and it does."""
    with_token(harness)
    harness.faults(PUT, fault, times=100)
    failed = harness.ochy("webhook", "set", "--new-token", OCHY_LOG=None)
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "Run the same command again" in failed.stderr
    harness.emulator.faults = None
    again = harness.ochy("webhook", "set", "--new-token")
    assert stored_url(harness) in again.stdout


def test_a_failed_look_at_the_stored_url_changed_nothing(harness: CliHarness) -> None:
    """So there is no advice about a lost token."""
    harness.faults(GET, Respond(500), times=100)
    result = harness.ochy("webhook", "set", "--new-token")
    assert (result.exit_code, "may have been changed" in result.stderr) == (1, False)
    assert harness.service.count(PUT) == 0


# --- notifications that nobody gets ---------------------------------------------------------------------


def notify(harness: CliHarness, *options: str) -> Result:
    return harness.analyze(*harness.clips("a.mp4"), "--view", "side", "--no-journal", *options)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda _: None, ("is not set", "ochy webhook set URL --new-token")),
        (lambda harness: harness.ochy("webhook", "set", PLAIN, "--disable"), ("is disabled", "set --enable")),
    ],
    ids=["none", "disabled"],
)
def test_a_run_warns_of_notifications_that_nobody_gets(
    harness: CliHarness, prepare: Callable[[CliHarness], Any], words: tuple[str, ...]
) -> None:
    """On stderr, with the command that helps; the run goes on."""
    prepare(harness)
    result = notify(harness, NOTIFY)
    assert (result.exit_code, harness.starts) == (0, 1)
    for each in ("Notifications are requested", *words):
        assert each in result.stderr
    assert "Notifications" not in result.stdout


def test_a_run_does_not_warn_of_an_enabled_webhook(harness: CliHarness) -> None:
    """One request finds out."""
    harness.ochy("webhook", "set", PLAIN)
    assert "Notifications" not in notify(harness, NOTIFY).stderr
    assert harness.service.count(GET) == 1


@pytest.mark.parametrize("options", [(), ("--no-notify-via-webhook",)])
def test_a_run_without_notifications_does_not_ask(harness: CliHarness, options: tuple[str, ...]) -> None:
    """No request is sent for the webhook."""
    assert notify(harness, *options).exit_code == 0
    assert harness.service.count(GET) == 0


def test_a_manifest_can_ask_for_notifications(harness: CliHarness) -> None:
    """One clip of it is enough."""
    harness.clips("a.mp4", "b.mp4")
    manifest = Path(harness.folder / "clips.csv")
    manifest.write_text("file,view,notify_via_webhook\na.mp4,side,no\nb.mp4,side,yes\n")
    result = harness.analyze(str(manifest))
    assert (result.exit_code, "Notifications are requested" in result.stderr) == (0, True), result.output


def test_a_dry_run_and_the_built_in_emulator_do_not_ask(harness: CliHarness) -> None:
    """Neither notifies anybody."""
    for option in ("--dry-run", "--emulator"):
        result = notify(harness, NOTIFY, option)
        assert (result.exit_code, "Notifications" in result.stderr) == (0, False), result.output
    assert harness.service.requests == ()


@pytest.mark.parametrize("fault", [Respond(404), Respond(403), Delay(60)])
def test_the_warning_never_fails_a_run(harness: CliHarness, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the answer is, and if there is none in time."""
    monkeypatch.setattr("ochy_async.cli.notifications.PATIENCE", 0.3)
    harness.emulator.faults = FaultPlan([FaultRule(GET, fault, times=100)])
    result = notify(harness, NOTIFY)
    assert (result.exit_code, harness.starts) == (0, 1), result.output


# --- secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("fault", [Respond(403), Respond(500), DisconnectAfter(charged=False)])
def test_the_url_is_in_no_frame_of_an_error(harness: CliHarness, scheme: str, fault: Fault) -> None:
    """Whatever fails, a traceback with local variables shows no token. The fixture of all tests searches for it."""
    harness.faults(PUT, fault, times=100)
    result = harness.ochy("webhook", "set", f"{scheme}://hooks.example.org/ochy/{HOOK_TOKEN}")
    assert result.exit_code > 0
