"""The command line against a real emulator: what it prints, sends and returns. No output holds a secret."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from attrs import define, field
from canary import API_KEY, leaks
from click.testing import CliRunner, Result
from conftest import CLIP, world

from ochy_async.cli.app import ochy
from ochy_async.emulator import (
    Answer,
    Ask,
    CutAfter,
    Delay,
    Emulator,
    Fault,
    Html,
    Rule,
    Script,
    Service,
    Status,
    World,
)

START = "POST /analysis/start"
QUICK = ("--interval", "0.1")


class Recording(Service):
    """Remembers the fields of every form that arrived."""

    def __init__(self, settings: World) -> None:
        super().__init__(settings)
        self.forms: list[dict[str, str]] = []

    def handle(self, ask: Ask, now: float) -> Answer:
        if ask.form is not None:
            self.forms.append(dict(ask.form.fields))
        return super().handle(ask, now)


@define(eq=False)
class Shop:
    """An emulator on a port, a folder of clips, and the command line."""

    emulator: Emulator
    service: Recording
    folder: Path
    skipped: list[float] = field(factory=lambda: [0.0])
    """Seconds by which the emulator's clock is put forward."""

    def clips(self, *names: str) -> list[str]:
        """Clips that differ in their content, as paths."""
        for name in names:
            (self.folder / name).write_bytes(CLIP + name.encode())
        return [str(self.folder / name) for name in names]

    def faults(self, route: str, fault: Fault, times: int = 1) -> None:
        """Plans a fault."""
        self.emulator.faults = Script([Rule(route, fault, times=times)])

    def ochy(self, *args: str, **env: str | None) -> Result:
        """Runs the command line in this process, and looks for secrets in what it printed."""
        result = run(*args, OCHY_BASE_URL=self.emulator.url, **env)
        assert not leaks(result.output)
        return result

    def analyze(self, *args: str, **env: str | None) -> Result:
        """`ochy analyze`, with quick looks."""
        return self.ochy("analyze", *QUICK, *args, **env)

    @property
    def ids(self) -> list[str]:
        """Of all analyses that were charged."""
        return [str(charge.analysis_id) for charge in self.service.ledger]


def run(*args: str, **env: str | None) -> Result:
    return CliRunner().invoke(ochy, args, env={"OCHY_API_KEY_FILE": None, **env}, prog_name="ochy")


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@contextmanager
def opened(settings: World, folder: Path) -> Generator[Shop]:
    service, skipped = Recording(settings), [0.0]
    emulator = Emulator(service, clock=lambda: time.time() + skipped[0])
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield Shop(emulator, service, folder, skipped)


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Shop]:
    """A shop whose analyses take a fraction of a second."""
    with opened(world(queueing=0.05, durations=(0.1, 0.2)), tmp_path) as it:
        yield it


@pytest.fixture
def slow_shop(tmp_path: Path) -> Generator[Shop]:
    """A shop whose analyses take a day."""
    with opened(world(durations=(86_400, 86_400)), tmp_path) as it:
        yield it


# --- analyze --------------------------------------------------------------------------------------


def test_analyze_shows_scores_and_metrics(shop: Shop) -> None:
    """Without a terminal the results are plain lines, and stderr names the id that was paid for."""
    result = shop.analyze(*shop.clips("anna.mp4"), "--view", "side", "--calculated")
    assert result.exit_code == 0, result.output
    for words in ("anna.mp4: side view, total score 0.", "forward cycle", "foot strike:", "ground contact time"):
        assert words in result.stdout
    assert f"anna.mp4: started and paid for, analysis {shop.ids[0]}" in result.stderr


def test_analyze_shows_both_legs(shop: Shop) -> None:
    """A back view is shown by leg, its calculated data by their way through the JSON."""
    result = shop.analyze(*shop.clips("anna.mp4"), "--view", "back", "--calculated")
    assert result.exit_code == 0, result.output
    for words in ("pronation, left", "pronation, right", "pelvic drop, right", "left stance mean pronation"):
        assert words in result.stdout


def test_analyze_writes_a_line_of_json_for_each_clip(shop: Shop) -> None:
    """`--json` gives one object a line, the raw results without the signed URLs."""
    result = shop.analyze(*shop.clips("a.mp4", "b.mov"), "--view", "side", "--calculated", "--json")
    told = lines(result)
    assert result.exit_code == 0
    assert {Path(each["clip"]).name for each in told} == {"a.mp4", "b.mov"}
    assert {each["analysis_id"] for each in told} == set(shop.ids)
    for each in told:
        assert (each["outcome"], each["view"], each["error"]) == ("analysed", "side_view", None)
        assert each["results"]["biomechanical_analysis"]["total_score"] > 0
        assert each["calculated"]["metrics"]["speed_meter_per_second"] > 0
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


def test_every_flag_reaches_the_server(shop: Shop) -> None:
    """Each field of the form carries what its flag says."""
    subject = shop.service.handle(Ask("POST", "/subjects", {"apiKey": API_KEY}, body=b"{}"), time.time())
    subject_id = json.loads(subject.body)["subject_id"]
    flags = [word.replace("SUBJECT", subject_id) for flag in SENT for word in flag]
    result = shop.analyze(*shop.clips("a.mp4"), *flags)
    assert result.exit_code == 0, result.output
    wanted = {name: value.replace("SUBJECT", subject_id) for name, value in SENT.values()}
    assert shop.service.forms == [wanted]


def test_defaults_are_the_documented_ones(shop: Shop) -> None:
    """Without flags the form holds what the vendor documents as the defaults."""
    assert shop.analyze(*shop.clips("a.mp4"), "--view", "side").exit_code == 0
    form = shop.service.forms[0]
    assert (float(form["height"]), float(form["weight"])) == (1.7, 70)
    assert (form["language"], form["treadmill"], form["notify_via_webhook"]) == ("en", "false", "false")


def test_wrong_requests_are_told_whole_and_nothing_is_sent(shop: Shop) -> None:
    """Every problem is named by its flag, exit code 2, before anything is sent."""
    (clip,) = shop.clips("a.mp4")
    flags = ("--view", "side", "--height", "175", "--treadmill", "--language", "tlh", "--full-body")
    result = shop.analyze(clip, clip, *flags)
    assert result.exit_code == 2
    for words in ("--height: looks like centimetres", "--pace: is required", "--language:", "--full-body:", "twice"):
        assert words in result.stderr
    assert shop.service.requests == ()


def test_a_bad_clip_does_not_stop_the_others(shop: Shop) -> None:
    """What cannot be sent is refused by itself, and the exit code says that something failed."""
    good = shop.clips("a.mp4", "b.mp4")
    result = shop.analyze(str(shop.folder / "gone.mp4"), *good, *shop.clips("notes.txt"), "--view", "side", "--json")
    ends = {Path(each["clip"]).name: each["outcome"] for each in lines(result)}
    assert ends == {"gone.mp4": "refused", "a.mp4": "analysed", "b.mp4": "analysed", "notes.txt": "refused"}
    assert (result.exit_code, len(shop.ids)) == (1, 2)
    assert "gone.mp4: refused: " in result.stderr


def test_a_failed_analysis_is_told(tmp_path: Path) -> None:
    """An analysis that ends as failed is an outcome with its class and id."""
    with opened(world(queueing=0, durations=(0.1, 0.1), failing=1), tmp_path) as shop:
        result = shop.analyze(*shop.clips("a.mp4"), "--view", "side", "--json")
        (told,) = lines(result)
    assert (result.exit_code, told["outcome"], told["error"]["class"]) == (1, "failed", "AnalysisFailed")
    assert told["analysis_id"] == shop.ids[0]


def test_a_missing_key_is_told(shop: Shop) -> None:
    """Without a key nothing is sent, the exit code is 3, and the way to set one is named."""
    result = shop.analyze(*shop.clips("a.mp4"), "--view", "side", OCHY_API_KEY=None)
    assert (result.exit_code, shop.service.requests) == (3, ())
    assert "OCHY_API_KEY" in result.stderr
    assert "--key-file" in result.stderr


def test_a_refused_key_stops_new_starts(shop: Shop) -> None:
    """After the first refusal of the key the other clips are reported as not started."""
    clips = shop.clips("a.mp4", "b.mp4", "c.mp4")
    result = shop.analyze(*clips, "--view", "side", "--json", "--concurrency", "1", OCHY_API_KEY="4f1d-wrong-key")
    assert [each["outcome"] for each in lines(result)] == ["refused", "not_started", "not_started"]
    assert (result.exit_code, shop.service.count(START)) == (3, 1)
    assert "4f1d-wrong-key" not in result.output


def test_missing_credits_stop_new_starts(tmp_path: Path) -> None:
    """What was paid for is brought home, the rest is not started, and the exit code is 4."""
    with opened(world(queueing=0, durations=(0.1, 0.1), credits=1), tmp_path) as shop:
        clips = shop.clips("a.mp4", "b.mp4", "c.mp4")
        result = shop.analyze(*clips, "--view", "side", "--json", "--concurrency", "1")
    assert [each["outcome"] for each in lines(result)] == ["analysed", "refused", "not_started"]
    assert (result.exit_code, shop.service.count(START)) == (4, 2)


@pytest.mark.parametrize("charged", [True, False])
def test_an_uncertain_start_is_told_and_not_repeated(shop: Shop, charged: bool) -> None:
    """When the answer to a start is lost the exit code is 5 and stderr says what to do."""
    shop.faults(START, CutAfter(charged))
    result = shop.analyze(*shop.clips("a.mp4"), "--view", "side", "--json")
    assert ([each["outcome"] for each in lines(result)], result.exit_code) == (["uncertain"], 5)
    assert len(shop.ids) == charged
    assert "vendor's dashboard" in result.stderr


def test_what_was_not_waited_for_can_be_collected(slow_shop: Shop) -> None:
    """A timeout leaves the id and the command that collects it; that command then does so."""
    result = slow_shop.analyze(*slow_shop.clips("a.mp4"), "--view", "back", "--timeout", "0.3", "--json")
    (told,) = lines(result)
    assert (result.exit_code, told["outcome"], told["analysis_id"]) == (1, "unfinished", slow_shop.ids[0])
    assert f"ochy wait {slow_shop.ids[0]} --view back" in result.stderr
    slow_shop.skipped[0] = 100_000
    collected = slow_shop.ochy("wait", *QUICK, slow_shop.ids[0], "--json", "--calculated")
    (told,) = lines(collected)
    assert (collected.exit_code, told["outcome"], told["view"], told["clip"]) == (0, "analysed", "back_view", None)
    assert len(slow_shop.ids) == 1


def test_wait_tells_unknown_ids(shop: Shop) -> None:
    """An id that the server does not know is refused, with the server's words."""
    result = shop.ochy("wait", "no-such-id", "--view", "side", "--json")
    (told,) = lines(result)
    assert (result.exit_code, told["outcome"], told["error"]["status"]) == (1, "refused", 404)


def test_results_stay_when_the_calculated_data_fail(shop: Shop) -> None:
    """The results are told, with the error beside them, and the exit code is 1."""
    shop.faults("GET */calculated_data", Status(418), times=20)
    result = shop.analyze(*shop.clips("a.mp4"), "--view", "side", "--calculated", "--json")
    (told,) = lines(result)
    assert (result.exit_code, told["outcome"], told["calculated"]) == (1, "analysed", None)
    assert told["results"] is not None
    assert told["error"]["status"] == 418


def test_analyze_with_an_emulator_needs_no_key(tmp_path: Path) -> None:
    """`--emulator` works without key and says that the numbers are made up."""
    clip = tmp_path / "a.webm"
    clip.write_bytes(CLIP)
    result = run("analyze", str(clip), "--view", "side", "--emulator", "--json", OCHY_API_KEY=None)
    assert ([each["outcome"] for each in lines(result)], result.exit_code) == (["analysed"], 0)
    assert "made up" in result.stderr
    assert "paid" not in result.stderr


def test_the_key_comes_from_a_file(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`--key-file` goes before the environment, which may name a file too; only the first line counts."""
    path = tmp_path_factory.mktemp("key") / "key.txt"
    path.write_text(f"\N{ZERO WIDTH NO-BREAK SPACE}{API_KEY} \r\nnot the key\n", encoding="utf-8")
    clips = shop.clips("a.mp4", "b.mp4")
    by_flag = shop.analyze(clips[0], "--view", "side", "--key-file", str(path), OCHY_API_KEY="wrong-key-1234")
    by_name = shop.analyze(clips[1], "--view", "side", OCHY_API_KEY=None, OCHY_API_KEY_FILE=str(path))
    path.unlink()
    assert (by_flag.exit_code, by_name.exit_code) == (0, 0)
    gone = shop.analyze(clips[0], "--view", "side", "--key-file", str(path))
    assert (gone.exit_code, "cannot be read" in gone.stderr) == (3, True)


# --- doctor ---------------------------------------------------------------------------------------


def states(result: Result) -> dict[str, str]:
    return {each["check"]: each["state"] for each in json.loads(result.stdout)["checks"]}


def test_doctor_finds_all_well(shop: Shop) -> None:
    """With everything in place the exit code is 0, nothing is spent, and of the webhook only the host is shown."""
    hook = b'{"url": "https://hooks.example.org/private-path?token=private", "enabled": true}'
    shop.service.handle(Ask("PUT", "/webhook", {"apiKey": API_KEY}, body=hook), time.time())
    result = shop.ochy("doctor")
    assert (result.exit_code, shop.ids) == (0, []), result.output
    assert "spends nothing" in result.stderr
    assert "enabled, to hooks.example.org" in result.stdout
    assert "private" not in result.output
    assert set(states(shop.ochy("doctor", "--json")).values()) == {"ok", "unknown"}


def test_doctor_finds_a_refused_key(shop: Shop) -> None:
    """A wrong key is told apart from an unreachable host; exit code 3."""
    result = shop.ochy("doctor", "--json", OCHY_API_KEY="4f1d-wrong-key")
    found = states(result)
    assert (result.exit_code, found["host"], found["key"], found["key accepted"]) == (3, "ok", "ok", "failed")


def test_doctor_finds_a_missing_key(shop: Shop) -> None:
    """Without a key nothing is asked, and nothing is said to be well that was not seen."""
    result = shop.ochy("doctor", "--json", OCHY_API_KEY=None)
    found = states(result)
    assert (result.exit_code, found["key"], found["host"], shop.service.requests) == (3, "failed", "unknown", ())


def test_doctor_finds_an_unreachable_host(shop: Shop) -> None:
    """Where nobody listens the exit code is 1 and the key is not blamed."""
    result = shop.ochy("doctor", "--json", "--base-url", "http://127.0.0.1:1")
    found = states(result)
    assert (result.exit_code, found["host"], found["key accepted"]) == (1, "failed", "unknown")


def test_doctor_finds_a_bad_address(shop: Shop) -> None:
    """A base URL without TLS is refused before anything is sent."""
    result = shop.ochy("doctor", "--json", "--base-url", "http://ochy.example.org")
    assert (result.exit_code, states(result)["base URL"], shop.service.requests) == (1, "failed", ())


def test_doctor_finds_a_proxy_in_trouble(shop: Shop) -> None:
    """A host that answers with an error page is reached, but the key is neither good nor bad."""
    shop.faults("GET /webhook", Html(502))
    result = shop.ochy("doctor", "--json")
    found = states(result)
    assert (result.exit_code, found["host"], found["key accepted"], found["webhook"]) == (1, "ok", "unknown", "failed")


# --- processes ------------------------------------------------------------------------------------

# Whoever runs the tests in the background may have turned SIGINT off, and children inherit that.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ochy_async.cli import main
main()
"""


@contextmanager
def process(*args: str, folder: Path, env: dict[str, str]) -> Generator[subprocess.Popen[str]]:
    """A run of the command line of its own; its output goes to files, which are searched for secrets."""
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        command = [sys.executable, "-c", COMMAND, *args]
        child = subprocess.Popen(command, stdout=out, stderr=err, text=True, env=env)  # noqa: S603
        try:
            yield child
        finally:
            child.kill()
            child.wait(10)


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder for the output of a process."""
    path = tmp_path / "output"
    path.mkdir()
    return path


def interrupted(shop: Shop, folder: Path, when: Callable[[], object], *args: str) -> int:
    env = {"OCHY_BASE_URL": shop.emulator.url, "OCHY_API_KEY": API_KEY}
    with process("analyze", *QUICK, *args, folder=folder, env=env) as child:
        eventually(when)
        child.send_signal(signal.SIGINT)
        return child.wait(10)


def test_an_interrupt_loses_nothing_that_is_paid(slow_shop: Shop, output: Path) -> None:
    """Ctrl-C exits 130, gives every clip an outcome and prints the command that collects what was paid for."""
    clips = slow_shop.clips("a.mp4", "b.mp4", "c.mp4")
    told = output / "stderr"
    code = interrupted(
        slow_shop,
        output,
        lambda: told.read_text().count("paid for") == 2,
        *clips,
        *("--view", "side", "--concurrency", "2", "--json"),
    )
    ids = slow_shop.ids
    ends = [json.loads(line) for line in (output / "stdout").read_text().splitlines()]
    assert (code, len(ids)) == (130, 2)
    assert {each["analysis_id"]: each["outcome"] for each in ends} == {
        ids[0]: "unfinished",
        ids[1]: "unfinished",
        None: "not_started",
    }
    (hint,) = (line for line in told.read_text().splitlines() if "ochy wait" in line)
    assert set(ids) < set(hint.split())
    assert "Traceback" not in told.read_text()


def test_an_interrupt_while_an_answer_is_awaited_is_uncertain(slow_shop: Shop, output: Path) -> None:
    """Ctrl-C between the last byte of an upload and its answer leaves a start that may have been charged."""
    slow_shop.faults(START, Delay(30, after=True))
    code = interrupted(slow_shop, output, lambda: slow_shop.ids, *slow_shop.clips("a.mp4"), "--view", "side", "--json")
    (told,) = (json.loads(line) for line in (output / "stdout").read_text().splitlines())
    assert (code, told["outcome"]) == (130, "uncertain")
    assert "vendor's dashboard" in (output / "stderr").read_text()


def test_a_reader_that_leaves_loses_nothing_that_is_paid(shop: Shop) -> None:
    """When stdout is closed the run ends without a traceback and names what was paid for and not shown."""
    command = [sys.executable, "-m", "ochy_async.cli", "analyze", *QUICK, *shop.clips("a.mp4"), "--view", "side"]
    env = {"OCHY_BASE_URL": shop.emulator.url, "OCHY_API_KEY": API_KEY}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)  # noqa: S603
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    with child, child.stderr:
        told = child.stderr.read()
    assert child.returncode == 1
    assert f"ochy wait {shop.ids[0]} --view side" in told
    assert "Traceback" not in told
    assert not leaks(told)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_bars_stay_off_stdout(shop: Shop, output: Path) -> None:
    """With stderr on a terminal there are bars, and stdout in a file is clean JSON all the same."""
    import pty

    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "ochy_async.cli", "analyze", *QUICK, *shop.clips("a.mp4"), "--view", "side"]
    env = {"OCHY_BASE_URL": shop.emulator.url, "OCHY_API_KEY": API_KEY, "TERM": "xterm"}
    with (output / "stdout").open("w") as out:
        child = subprocess.Popen([*command, "--json"], stdout=out, stderr=inner, env=env)  # noqa: S603
        os.close(inner)
        told = b"".join(iter(lambda: _read(outer), b"")).decode()
        code = child.wait(10)
    os.close(outer)
    assert (code, json.loads((output / "stdout").read_text())["outcome"]) == (0, "analysed")
    assert "\x1b[" in told
    assert not leaks(told)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # so Linux tells that the other side is closed
        return b""


def test_the_emulator_serves_until_it_is_interrupted(output: Path) -> None:
    """It prints what another shell needs, tells what is assumed, and its ledger at the end; exit code 0."""
    with process("emulator", "--port", "0", "--behaviours", "--credits", "7", folder=output, env={}) as child:
        eventually(lambda: "export " in (output / "stdout").read_text())
        text = (output / "stdout").read_text()
        (export,) = (line for line in text.splitlines() if line.startswith("export "))
        env = dict(word.split("=", 1) for word in export.split()[1:])
        result = run("doctor", **env)
        child.send_signal(signal.SIGINT)
        code = child.wait(10)
    assert (result.exit_code, code) == (0, 0), result.output
    assert "assumed" in text
    assert "documented" in text
    assert "0 credits spent on 0 clips, 7 left" in (output / "stdout").read_text()


def test_the_emulator_tells_when_its_port_is_taken(shop: Shop) -> None:
    """A port in use is a sentence, not a traceback."""
    port = shop.emulator.url.rpartition(":")[2]
    result = run("emulator", "--port", port)
    assert (result.exit_code, "cannot listen" in result.stderr) == (1, True)


def test_the_demo_works_without_anything(output: Path) -> None:
    """No key, no terminal, no network: every clip in a table, a credit for each, and plainly nothing of it real."""
    begun = time.monotonic()
    with process("demo", folder=output, env={}) as child:
        code = child.wait(20)
    text = (output / "stdout").read_text()
    assert (code, time.monotonic() - begun < 20) == (0, True), (output / "stderr").read_text()
    for name in ("morning-run.mp4", "club-400m.mov", "belt-behind.webm", "belt-tempo.mp4", "trail-climb.avi"):
        assert f"\n  {name} " in text
    assert "6 credits spent on 6 clips" in text
    assert text.startswith("Nothing here is real")
    assert text.rstrip().endswith("no credit is spent.")
