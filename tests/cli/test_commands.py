"""The command line against a real emulator: what it prints, sends and returns. No output holds a secret."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ochy_async.emulator import Respond, RespondHtml, ServiceRequest
from ochy_async.preflight import prober
from ochy_async.preflight.prober import unavailable_here
from tests.conftest import CLIP, world
from tests.support.canary import API_KEY, PROXY_PASSWORD, leaks
from tests.support.cli_harness import (
    FAST_POLLING,
    START,
    CliHarness,
    Result,
    cli_harness,
    cli_process,
    click,
    json_lines,
    run_cli,
    wait_until,
)

IMPORTABLE = {"PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path)}
"""The environment of a program that runs in another folder, and needs nothing but the package."""

# --- analyze --------------------------------------------------------------------------------------


def test_analyze_shows_scores_and_metrics(harness: CliHarness) -> None:
    """Without a terminal results are plain lines, and stderr names the id that no journal records."""
    result = harness.analyze(*harness.clips("anna.mp4"), "--view", "side", "--calculated", "--no-journal")
    assert result.exit_code == 0, result.output
    for words in ("anna.mp4: side view, total score 0.", "forward cycle", "foot strike:", "ground contact time"):
        assert words in result.stdout
    assert f"anna.mp4: started and paid for, analysis {harness.ids[0]}" in result.stderr


def test_analyze_shows_both_legs(harness: CliHarness) -> None:
    """Results of a back view are shown by leg, calculated data by their path in the JSON."""
    result = harness.analyze(*harness.clips("anna.mp4"), "--view", "back", "--calculated")
    assert result.exit_code == 0, result.output
    for words in ("pronation, left", "pronation, right", "pelvic drop, right", "left stance mean pronation"):
        assert words in result.stdout


def test_analyze_writes_a_line_of_json_for_each_clip(harness: CliHarness) -> None:
    """`--json` prints one object per line, with the raw results but without signed URLs."""
    result = harness.analyze(*harness.clips("a.mp4", "b.mov"), "--view", "side", "--json")
    records = json_lines(result)
    assert result.exit_code == 0
    assert {Path(each["clip"]).name for each in records} == {"a.mp4", "b.mov"}
    assert {each["analysis_id"] for each in records} == set(harness.ids)
    for each in records:
        assert (each["outcome"], each["view"], each["error"]) == ("analyzed", "side_view", None)
        assert each["bought"] is True
        assert each["results"]["biomechanical_analysis"]["total_score"] > 0
        assert not {"thumbnail", "output_video"} & each["results"].keys()
    assert "://" not in result.stdout


SENT = {
    ("--view", "back"): ("analysis_type", "back_view"),
    ("--height", "1.81"): ("height", "1.81"),
    ("--weight", "66.5"): ("weight", "66.5"),
    ("--pace", "04:45"): ("pace", "04:45"),
    ("--treadmill",): ("treadmill", "true"),
    ("--language", "fr"): ("language", "fr"),
    ("--no-full-body",): ("full_body", "false"),
    ("--subject-id", "SUBJECT"): ("subject_id", "SUBJECT"),
    ("--notify-via-webhook",): ("notify_via_webhook", "true"),
}


def test_every_flag_reaches_the_server(harness: CliHarness) -> None:
    """Each field of the form has the value of its option."""
    subject = harness.service.handle(ServiceRequest("POST", "/subjects", {"apiKey": API_KEY}, body=b"{}"), time.time())
    subject_id = json.loads(subject.body)["subject_id"]
    flags = [word.replace("SUBJECT", subject_id) for flag in SENT for word in flag]
    result = harness.analyze(*harness.clips("a.mp4"), *flags)
    assert result.exit_code == 0, result.output
    wanted = {name: value.replace("SUBJECT", subject_id) for name, value in SENT.values()}
    assert harness.service.forms == [wanted]


def test_defaults_are_the_documented_ones(harness: CliHarness) -> None:
    """Without options the form holds the vendor's documented defaults."""
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side").exit_code == 0
    form = harness.service.forms[0]
    assert (float(form["height"]), float(form["weight"])) == (1.7, 70)
    assert (form["language"], form["treadmill"], form["notify_via_webhook"]) == ("en", "false", "false")


def test_all_problems_of_a_request_are_reported_together(harness: CliHarness) -> None:
    """Each problem names its option; exit code 2, and nothing is sent."""
    (clip,) = harness.clips("a.mp4")
    flags = ("--view", "side", "--height", "175", "--treadmill", "--language", "tlh", "--full-body")
    result = harness.analyze(clip, *flags)
    assert result.exit_code == 2
    for words in (
        "Nothing was sent",
        "--height: looks like centimeters",
        "--pace: is required",
        "--language:",
        "--full-body:",
    ):
        assert words in result.stderr
    assert harness.service.requests == ()


def test_a_bad_clip_does_not_stop_the_others(harness: CliHarness) -> None:
    """Only the clip that cannot be sent is refused, and the exit code is 1."""
    good = harness.clips("a.mp4", "b.mp4")
    result = harness.analyze(
        str(harness.folder / "gone.mp4"), *good, *harness.clips("notes.txt"), "--view", "side", "--json"
    )
    ends = {Path(each["clip"]).name: each["outcome"] for each in json_lines(result)}
    assert ends == {"gone.mp4": "refused", "a.mp4": "analyzed", "b.mp4": "analyzed", "notes.txt": "refused"}
    assert (result.exit_code, len(harness.ids)) == (1, 2)
    assert "gone.mp4: refused: " in result.stderr


def test_a_failed_analysis_is_reported(tmp_path: Path) -> None:
    """The outcome has the id and a reason."""
    with cli_harness(world(queue_seconds=0, analysis_seconds=(0.1, 0.1), failure_rate=1), tmp_path) as harness:
        result = harness.analyze(*harness.clips("a.mp4"), "--view", "side", "--json")
        (record,) = json_lines(result)
    assert (result.exit_code, record["outcome"]) == (1, "failed")
    assert "the credit is spent" in record["reason"]
    assert record["analysis_id"] == harness.ids[0]


def test_a_missing_key_is_reported(harness: CliHarness) -> None:
    """Nothing is sent, the exit code is 3, and the error says how to set a key."""
    result = harness.analyze(*harness.clips("a.mp4"), "--view", "side", OCHY_API_KEY=None)
    assert (result.exit_code, harness.service.requests) == (3, ())
    assert "OCHY_API_KEY" in result.stderr
    assert "--key-file" in result.stderr


def test_a_refused_key_stops_new_starts(harness: CliHarness) -> None:
    """After the first refusal the other clips are unfinished."""
    clips = harness.clips("a.mp4", "b.mp4", "c.mp4")
    result = harness.analyze(*clips, "--view", "side", "--json", "--in-flight", "1", OCHY_API_KEY="4f1d-wrong-key")
    assert [each["outcome"] for each in json_lines(result)] == ["unfinished", "unfinished", "unfinished"]
    assert (result.exit_code, harness.service.count(START)) == (3, 1)
    assert "4f1d-wrong-key" not in result.output


def test_missing_credits_stop_new_starts(tmp_path: Path) -> None:
    """Paid analyses are collected, the other clips are not started, and the exit code is 4."""
    with cli_harness(world(queue_seconds=0, analysis_seconds=(0.1, 0.1), credits=1), tmp_path) as harness:
        clips = harness.clips("a.mp4", "b.mp4", "c.mp4")
        result = harness.analyze(*clips, "--view", "side", "--json", "--in-flight", "1")
    assert [each["outcome"] for each in json_lines(result)] == ["analyzed", "unfinished", "unfinished"]
    assert (result.exit_code, harness.service.count(START)) == (4, 2)


def test_an_analysis_can_be_collected_after_a_timeout(slow_harness: CliHarness) -> None:
    """The summary prints the command that collects it, and that command works."""
    result = slow_harness.analyze(
        *slow_harness.clips("a.mp4"), "--view", "back", "--timeout", "0.3", "--json", "--no-journal"
    )
    (record,) = json_lines(result)
    assert (result.exit_code, record["outcome"], record["analysis_id"]) == (1, "unfinished", slow_harness.ids[0])
    assert f"ochy wait --view back {slow_harness.ids[0]}" in result.stderr
    slow_harness.skipped[0] = 100_000
    collected = slow_harness.ochy("wait", *FAST_POLLING, slow_harness.ids[0], "--json", "--calculated")
    (record,) = json_lines(collected)
    assert (collected.exit_code, record["outcome"], record["view"], record["clip"]) == (
        0,
        "analyzed",
        "back_view",
        None,
    )
    assert len(slow_harness.ids) == 1


def test_wait_refuses_unknown_ids(harness: CliHarness) -> None:
    """The outcome holds the HTTP status."""
    result = harness.ochy("wait", "no-such-id", "--view", "side", "--json")
    (record,) = json_lines(result)
    assert (result.exit_code, record["outcome"], record["error"]["status"]) == (1, "refused", 404)


def test_results_stay_when_the_calculated_data_fail(harness: CliHarness) -> None:
    """The outcome has the results and the error, and the exit code is 1."""
    assert harness.analyze(*harness.clips("a.mp4"), "--view", "side").exit_code == 0
    harness.faults("GET */calculated_data", Respond(418), times=20)
    result = harness.ochy("wait", *FAST_POLLING, *harness.ids, "--calculated", "--json")
    (record,) = json_lines(result)
    assert (result.exit_code, record["outcome"], record["calculated"]) == (1, "analyzed", None)
    assert record["results"] is not None
    assert record["error"]["status"] == 418
    assert record["missing"] == ["calculated"]


def test_analyze_with_an_emulator_needs_no_key(tmp_path: Path) -> None:
    """`--emulator` works without a key and says that the results are simulated."""
    clip = tmp_path / "a.webm"
    clip.write_bytes(CLIP)
    result = run_cli("analyze", str(clip), "--view", "side", "--emulator", "--json", OCHY_API_KEY=None)
    assert ([each["outcome"] for each in json_lines(result)], result.exit_code) == (["analyzed"], 0)
    assert "Simulated results" in result.stderr
    assert "paid" not in result.stderr


def test_the_key_comes_from_a_file(harness: CliHarness, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`--key-file` precedes the environment, which may also name a file; only the first line counts."""
    path = tmp_path_factory.mktemp("key") / "key.txt"
    path.write_text(f"\N{ZERO WIDTH NO-BREAK SPACE}{API_KEY} \r\nnot the key\n", encoding="utf-8")
    clips = harness.clips("a.mp4", "b.mp4")
    by_flag = harness.analyze(clips[0], "--view", "side", "--key-file", str(path), OCHY_API_KEY="wrong-key-1234")
    by_name = harness.analyze(clips[1], "--view", "side", OCHY_API_KEY=None, OCHY_API_KEY_FILE=str(path))
    path.unlink()
    assert (by_flag.exit_code, by_name.exit_code) == (0, 0)
    gone = harness.analyze(clips[0], "--view", "side", "--key-file", str(path))
    assert (gone.exit_code, "cannot be read" in gone.stderr) == (3, True)


# --- doctor ---------------------------------------------------------------------------------------


def report(result: Any) -> list[dict[str, Any]]:
    """The checks as JSON."""
    checks: list[dict[str, Any]] = json.loads(result.stdout)["checks"]
    return checks


def states(result: Result) -> dict[str, str]:
    return {each["check"]: each["state"] for each in json.loads(result.stdout)["checks"]}


def test_doctor_finds_no_problem(harness: CliHarness) -> None:
    """The exit code is 0, nothing is spent, and only the host of the webhook is shown."""
    hook = b'{"url": "https://hooks.example.org/private-path?token=private", "enabled": true}'
    harness.service.handle(ServiceRequest("PUT", "/webhook", {"apiKey": API_KEY}, body=hook), time.time())
    result = harness.ochy("doctor")
    assert (result.exit_code, harness.ids) == (0, []), result.output
    assert "spends nothing" in result.stderr
    assert "enabled, to hooks.example.org" in result.stdout
    assert "private" not in result.output
    assert set(states(harness.ochy("doctor", "--json")).values()) == {"ok", "unknown"}


def test_doctor_tests_the_decoder(harness: CliHarness) -> None:
    """With its versions, and with no clip of the user."""
    pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")
    (decoder,) = (each for each in report(harness.ochy("doctor", "--json")) if each["check"] == "decoder")
    assert decoder["state"] == "ok"
    assert re.fullmatch(r"PyAV [\d.]+, FFmpeg [\w.-]+; it reads its test clip correctly", decoder["found"])


def test_doctor_finds_a_broken_decoder(harness: CliHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has its output, line by line, and advice."""
    (tmp_path / "av.py").write_text(
        "import sys\nprint('libx: not found', file=sys.stderr)\nraise ImportError('libx')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    unavailable_here.cache_clear()
    result = harness.ochy("doctor")
    unavailable_here.cache_clear()
    assert result.exit_code == 1
    assert re.search(
        r"^failed   decoder: PyAV[\d. ]* does not work on this machine: ImportError: libx\n"
        r"         \| libx: not found$",
        result.stdout,
        re.MULTILINE,
    )
    assert "         -> Clips are sent after" in result.stdout


def test_doctor_says_how_to_get_a_decoder(harness: CliHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the state is unknown, not failed."""
    monkeypatch.setattr(prober, "find_spec", lambda _: None)
    unavailable_here.cache_clear()
    result = harness.ochy("doctor", "--json")
    unavailable_here.cache_clear()
    (decoder,) = (each for each in report(result) if each["check"] == "decoder")
    assert (result.exit_code, decoder["state"]) == (0, "unknown")
    assert "pip install 'ochy-async[video]'" in decoder["advice"]


def test_doctor_finds_a_refused_key(harness: CliHarness) -> None:
    """A wrong key is distinguished from an unreachable host; exit code 3."""
    result = harness.ochy("doctor", "--json", OCHY_API_KEY="4f1d-wrong-key")
    found = states(result)
    assert (result.exit_code, found["host"], found["key"], found["key accepted"]) == (3, "ok", "ok", "failed")


def test_doctor_finds_a_missing_key(harness: CliHarness) -> None:
    """Without a key nothing is sent, and nothing is reported as ok that was not checked."""
    result = harness.ochy("doctor", "--json", OCHY_API_KEY=None)
    found = states(result)
    assert (result.exit_code, found["key"], found["host"], harness.service.requests) == (3, "failed", "unknown", ())


def test_doctor_finds_an_unreachable_host(harness: CliHarness) -> None:
    """The exit code is 1, and the key is not blamed."""
    result = harness.ochy("doctor", "--json", "--base-url", "http://127.0.0.1:1")
    found = states(result)
    assert (result.exit_code, found["host"], found["key accepted"]) == (1, "failed", "unknown")


def proxy_of(result: Result) -> str:
    """What doctor says of the proxy."""
    (found,) = [each["found"] for each in json.loads(result.stdout)["checks"] if each["check"] == "proxy"]
    return str(found)


def test_doctor_names_the_proxy_without_its_credentials(harness: CliHarness) -> None:
    """Host and port, and whether the base URL is reached through it; no output holds the password."""
    secret = f"http://runner:{PROXY_PASSWORD.replace('/', '%2F')}@127.0.0.1:9"
    assert proxy_of(harness.ochy("doctor", "--json")) == "none"
    near = proxy_of(harness.ochy("doctor", "--json", OCHY_PROXY=secret))
    assert near == "http://127.0.0.1:9, but the base URL is reached without it"
    far = harness.ochy("doctor", "--json", "--base-url", "https://ochy.example", OCHY_PROXY=secret)
    assert (far.exit_code, proxy_of(far)[:20]) == (1, "http://127.0.0.1:9; ")
    assert "connection to the proxy" in far.stdout


@pytest.mark.parametrize(
    ("given", "why"), [(f"http://runner:{PROXY_PASSWORD}@h", "OCHY_PROXY"), ("socks5://h", "SOCKS")]
)
def test_a_proxy_flag_takes_no_password(harness: CliHarness, given: str, why: str) -> None:
    """Every process of the machine can read arguments, so credentials must come from the environment."""
    result = harness.ochy("wait", "a1b2c3d4", "--proxy", given)
    assert (result.exit_code, why in result.stderr, harness.service.requests) == (2, True, ())


def test_the_proxy_flag_precedes_the_environment(harness: CliHarness) -> None:
    """`none` turns the proxy off."""
    command = ("doctor", "--json", "--base-url", "https://ochy.example:1", "--proxy")
    assert (
        proxy_of(harness.ochy(*command, "http://127.0.0.1:9", OCHY_PROXY="http://127.0.0.1:8"))[:18]
        == "http://127.0.0.1:9"
    )
    assert proxy_of(harness.ochy(*command, "none", OCHY_PROXY="http://127.0.0.1:8")) == "none"


def test_doctor_finds_a_bad_address(harness: CliHarness) -> None:
    """A base URL without TLS is refused before anything is sent."""
    result = harness.ochy("doctor", "--json", "--base-url", "http://ochy.example.org")
    assert (result.exit_code, states(result)["base URL"], harness.service.requests) == (1, "failed", ())


def test_doctor_finds_a_failing_gateway(harness: CliHarness) -> None:
    """A host that answers with an error page is reached, but whether the key is valid is unknown."""
    harness.faults("GET /webhook", RespondHtml(502))
    result = harness.ochy("doctor", "--json")
    found = states(result)
    assert (result.exit_code, found["host"], found["key accepted"], found["webhook"]) == (1, "ok", "unknown", "failed")


# --- processes ------------------------------------------------------------------------------------


def test_a_closed_stdout_loses_no_paid_analysis(harness: CliHarness) -> None:
    """The run ends without a traceback and prints the ids that were not shown."""
    words = ("analyze", *FAST_POLLING, *harness.clips("a.mp4"), "--view", "side", "--no-journal")
    command = [sys.executable, "-m", "ochy_async.cli", *words]
    env = harness.environment()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)  # noqa: S603
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    with child, child.stderr:
        text_ = child.stderr.read()
    assert child.returncode == 1
    assert f"ochy wait --view side {harness.ids[0]}" in text_
    assert "Traceback" not in text_
    assert not leaks(text_)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_progress_display_stays_off_stdout(harness: CliHarness, output: Path) -> None:
    """With stderr on a terminal there is a display, and stdout in a file holds only JSON."""
    import pty

    outer, inner = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "ochy_async.cli",
        "analyze",
        *FAST_POLLING,
        *harness.clips("a.mp4"),
        "--view",
        "side",
    ]
    env = harness.environment(TERM="xterm")
    with (output / "stdout").open("w") as out:
        child = subprocess.Popen([*command, "--json"], stdout=out, stderr=inner, env=env)  # noqa: S603
        os.close(inner)
        text = b"".join(iter(lambda: _read(outer), b"")).decode()
        code = child.wait(10)
    os.close(outer)
    assert (code, json.loads((output / "stdout").read_text())["outcome"]) == (0, "analyzed")
    assert "\x1b[" in text
    assert "analyzed, score 0." in click.unstyle(text)
    assert not leaks(text)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # so Linux tells that the other side is closed
        return b""


def test_the_emulator_serves_until_it_is_interrupted(output: Path) -> None:
    """It prints the settings for another shell, its behaviors, and its ledger at the end; exit code 0."""
    with cli_process("emulator", "--port", "0", "--behaviors", "--credits", "7", folder=output, env={}) as child:
        wait_until(lambda: "export " in (output / "stdout").read_text())
        text = (output / "stdout").read_text()
        (export,) = (line for line in text.splitlines() if line.startswith("export "))
        env = dict(word.split("=", 1) for word in export.split()[1:])
        result = run_cli("doctor", **env)
        child.send_signal(signal.SIGINT)
        code = child.wait(10)
    assert (result.exit_code, code) == (0, 0), result.output
    assert "assumed" in text
    assert "documented" in text
    assert "0 credits spent on 0 clips, 7 left" in (output / "stdout").read_text()


def test_the_emulator_reports_a_used_port(harness: CliHarness) -> None:
    """The error is a sentence, not a traceback."""
    port = harness.emulator.url.rpartition(":")[2]
    result = run_cli("emulator", "--port", port)
    assert (result.exit_code, "cannot listen" in result.stderr) == (1, True)


def test_the_emulator_does_not_take_a_closed_stdout_for_a_used_port() -> None:
    """`ochy emulator | head` ends when the reader is gone, and says nothing about a port."""
    command = [sys.executable, "-m", "ochy_async.cli", "emulator", "--port", "0"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60, check=False)  # noqa: S603
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_the_demo_kills_a_batch_pays_once_and_ends_with_a_report(output: Path) -> None:
    """No key, no terminal, no network: a kill with an uncertain start, one simulated credit for each clip, pages."""
    with cli_process("demo", folder=output, env=IMPORTABLE, cwd=output) as child:
        code = child.wait(60)
    text = (output / "stdout").read_text()
    assert code == 0, (output / "stderr").read_text()
    assert (text.count("\n  started "), text.count("\n  sending ")) == (5, 1)
    for name in ("morning-run.mp4", "club-400m.mov", "belt-behind.webm", "belt-tempo.mp4", "trail-climb.avi"):
        assert len(re.findall(rf"\n  {name} +(side|back) view  0", text)) == 1
        assert len(re.findall(rf"\n  {name} +[0-9a-f]{{12}}  1\n", text)) == 1
    assert "12 credits spent on 12 clips" in text
    assert "requests sent for this table: 0" in text
    assert text.startswith("Simulated results")
    assert text.count("no credit is spent.") == 2
    last = text.splitlines()[-1]
    if find_spec("htpy") is None:
        assert last.endswith("pip install 'ochy-async[report]'")
        return
    assert last == str(output / "ochy-demo" / "index.html")
    overview = Path(last).read_text(encoding="utf-8")
    pages = [path.read_text(encoding="utf-8") for path in Path(last).parent.glob("*.html") if path.name != "index.html"]
    assert [len(pages), "Progress" in overview, overview.count("Mia") > 3] == [12, True, True]
    assert sum("Knee flexion" in page for page in pages) == 9
    assert sum("middle half" in page for page in pages) == 9
    assert all("Simulated results" in page for page in (overview, *pages))
    assert {path.name for path in output.iterdir()} == {"stdout", "stderr", "ochy-demo"}


def test_the_demo_works_without_the_extra_of_reports(output: Path) -> None:
    """It says in one sentence how to get one, and writes nothing."""
    program = "import sys; sys.modules['htpy'] = None; from ochy_async.cli import main; main()"
    command = [sys.executable, "-c", program, "demo"]
    done = subprocess.run(command, cwd=output, env=IMPORTABLE, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "The demo can end with a report of these results as pages. A report needs htpy, which is not installed. "
        "Install it with: pip install 'ochy-async[report]'"
    )
    assert not list(output.iterdir())


def test_the_demo_leaves_its_clips_where_it_is_told_to(output: Path) -> None:
    """A newcomer without a video can try the other commands. No file that is there is replaced."""
    pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")
    (output / "clips").mkdir()
    (output / "clips" / "mia-may.webm").write_text("my own film")
    with cli_process("demo", "--clips", "clips", folder=output, env=IMPORTABLE, cwd=output) as child:
        assert child.wait(60) == 0, (output / "stderr").read_text()
    assert f"manifest: {Path('clips') / 'runners.csv'}\n" in (output / "stdout").read_text()
    assert (output / "clips" / "mia-may.webm").read_text() == "my own film"
    checked = run_cli("check", str(output / "clips" / "runners.csv"))
    assert "11 of 12 clips fit" in checked.stdout


def test_a_folder_for_the_demos_clips_that_cannot_be_written_is_said(output: Path) -> None:
    """Before anything starts."""
    pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")
    (output / "taken").write_text("a file")
    with cli_process("demo", "--clips", "taken/clips", folder=output, env=IMPORTABLE, cwd=output) as child:
        assert child.wait(60) == 2
    assert "--clips: 'taken/clips' cannot be written: Not a directory" in (output / "stderr").read_text()
    assert not (output / "ochy-demo").exists()


def test_the_demo_leaves_no_clips_that_are_no_videos(output: Path) -> None:
    """Without PyAV its clips only resemble videos."""
    program = "import sys; sys.modules['av'] = None; import importlib.util as u; find = u.find_spec; "
    program += "u.find_spec = lambda name: None if name == 'av' else find(name); "
    program += "from ochy_async.cli import main; main()"
    command = [sys.executable, "-c", program, "demo", "--clips", "clips"]
    done = subprocess.run(command, cwd=output, env=IMPORTABLE, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 2
    assert "--clips: Rendering videos needs PyAV" in done.stderr
    assert not list(output.iterdir())


def test_a_report_of_the_demo_that_fails_is_said(output: Path) -> None:
    """The demo has worked; exit code 1 says that the report is missing, and an option helps."""
    pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")
    (output / "taken").write_text("a file")
    with cli_process("demo", "--out", "taken/out", folder=output, env=IMPORTABLE, cwd=output) as child:
        assert child.wait(60) == 1
    assert "12 credits for 12 clips" in (output / "stdout").read_text()
    (line,) = [each for each in (output / "stderr").read_text().splitlines() if each.startswith("ochy: ")]
    assert line.startswith("ochy: the report of the demo was not written: 'taken/out' cannot be written:")
    assert line.endswith("The option --out names another folder.")
