"""`ochy check`, and what `ochy analyze` does with its findings."""

# The prober remembers for the life of a process why it cannot probe, so tests clear that.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ochy_async.preflight import prober
from tests.conftest import CLIP, world
from tests.support.cli_harness import CliHarness, cli_harness, json_lines, run_cli
from tests.support.videos import video

SIDE = ("--view", "side")
BACK = ("--view", "back")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A landscape, a portrait, one that is too long, and a text."""
    (tmp_path / "1 across.mp4").write_bytes(video())
    (tmp_path / "2 upright.mov").write_bytes(video("mov", (108, 192)))
    (tmp_path / "3 long.webm").write_bytes(video("webm", (64, 36), frames=360))
    (tmp_path / "4 text.mp4").write_text("hello, I am a text")
    return tmp_path


@pytest.fixture
def harness(folder: Path) -> Iterator[CliHarness]:
    """An emulator beside the folder."""
    with cli_harness(world(queue_seconds=0, analysis_seconds=(0.1, 0.1)), folder) as harness:
        yield harness


def test_a_folder_is_checked_clip_by_clip(folder: Path) -> None:
    """The table has a verdict for each clip; the findings and what to do follow it."""
    result = run_cli("check", str(folder), *SIDE)
    assert result.exit_code == 1
    assert result.stdout.startswith("1 of 4 clips fit; nothing was sent or spent\n")
    rows = {line.split("/")[-1].split("  ")[0]: line for line in result.stdout.splitlines()[2:6]}
    assert "  fits  " in rows["1 across.mp4"]
    assert "192x108  " in rows["1 across.mp4"]
    assert "may not fit   108x192" in rows["2 upright.mov"]
    assert "does not fit  64x36" in rows["3 long.webm"]
    assert "does not fit  –" in rows["4 text.mp4"]
    assert "(side view): warning: picture: 108x192 is portrait" in result.stdout
    assert f"fix it with: ffmpeg -ss 0 -i '{folder}/3 long.webm' -t 10 -c copy" in result.stdout


def test_each_kind_of_finding_names_its_help_once(folder: Path) -> None:
    """The lines come last, however many clips have the finding; clips that fit have none."""
    (folder / "5 upright.mov").write_bytes((folder / "2 upright.mov").read_bytes())
    lines = run_cli("check", str(folder), *SIDE).stdout.splitlines()
    pages = [f"reference/findings.html#{code}" for code in ("orientation", "too_long", "unreadable")]
    assert [line.strip() for line in lines[-3:]] == [
        f"Help: {page} in the documentation (see the README)." for page in pages
    ]
    assert "Help:" not in "\n".join(lines[:-3])
    assert "Help:" not in run_cli("check", str(folder / "1 across.mp4"), *SIDE).stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("1 across.mp4", *SIDE), 0),
        (("1 across.mp4", *SIDE, "--strict"), 0),
        (("1 across.mp4", *BACK), 0),
        (("1 across.mp4", *BACK, "--strict"), 1),
        (("2 upright.mov", *BACK, "--strict"), 0),
        (("2 upright.mov", *SIDE, "--strict"), 1),
        (("2 upright.mov", *SIDE, "--treadmill", "--strict"), 0),
        (("3 long.webm", *SIDE), 1),
        (("4 text.mp4", *SIDE), 1),
        (("gone.mp4", *SIDE), 1),
        (("1 across.mp4",), 2),
        (("1 across.mp4", "--view", "top"), 2),
        (("*.avi", *SIDE), 2),
        ((), 2),
    ],
)
def test_the_exit_code_is_the_verdict(
    words: tuple[str, ...], code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0: all clips fit; 1: some do not; 2: wrong usage. Warnings count with --strict only."""
    monkeypatch.chdir(folder)
    assert run_cli("check", *words).exit_code == code


def test_neither_key_nor_network_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent, whatever the environment says."""

    def no_network(*_: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    result = run_cli("check", str(folder / "1 across.mp4"), *SIDE, OCHY_API_KEY=None, OCHY_PREFLIGHT="nonsense")
    assert result.exit_code == 0


def test_json_holds_facts_and_findings(folder: Path) -> None:
    """One object per line, in the order of the input."""
    first, second, third, text = json_lines(run_cli("check", str(folder), *SIDE, "--json"))
    assert (first["verdict"], first["findings"], first["facts"]["frames"]) == ("fits", [], 30)
    assert (second["verdict"], second["view"]) == ("may not fit", "side_view")
    assert [(each["code"], each["severity"]) for each in second["findings"]] == [("orientation", "warning")]
    (long,) = third["findings"]
    assert (long["code"], long["severity"], long["fix_command"].split()[0]) == ("too_long", "error", "ffmpeg")
    assert (text["facts"]["readable"], text["findings"][0]["code"]) == (False, "unreadable")


def test_a_manifest_gives_view_and_treadmill(folder: Path) -> None:
    """Each clip is checked for the request of its row."""
    manifest = folder / "runners.csv"
    manifest.write_text("file,view,treadmill,pace\n1 across.mp4,side,,\n2 upright.mov,side,yes,05:30\n")
    result = run_cli("check", str(manifest), "--strict", "--json")
    assert (result.exit_code, [each["verdict"] for each in json_lines(result)]) == (0, ["fits", "fits"])


def test_without_the_extra_its_install_command_is_printed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip that could not be probed neither fails nor fits."""
    monkeypatch.setattr(prober, "find_spec", lambda _: None)
    prober.unavailable_here.cache_clear()
    try:
        result = run_cli("check", str(folder / "1 across.mp4"), *SIDE)
    finally:
        prober.unavailable_here.cache_clear()
    assert result.exit_code == 0
    assert "may not fit" in result.stdout
    assert "Unknown: length, picture size, frame rate" in result.stdout
    assert "pip install 'ochy-async[video]'" in result.stderr


# --- analyze -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "paid", "code"), [((), 2, 1), (("--preflight", "warnings"), 1, 1), (("--preflight", "errors"), 2, 1)]
)
def test_analyze_buys_only_what_fits(check: tuple[str, ...], paid: int, code: int, harness: CliHarness) -> None:
    """By default errors stop a clip; errors and warnings are printed with their reasons."""
    result = harness.analyze(str(harness.folder), *SIDE, *check, OCHY_PREFLIGHT=None)
    assert (result.exit_code, harness.starts) == (code, paid)
    assert "12.0 s exceed the 10 s" in result.stderr
    assert "108x192 is portrait" in result.stderr


def test_analyze_sends_any_clip_with_preflight_off(harness: CliHarness) -> None:
    """The server then decides."""
    path = harness.folder / "5 noise.mp4"
    path.write_bytes(CLIP)
    assert harness.analyze(str(path), *SIDE, OCHY_PREFLIGHT=None).exit_code == 1
    assert harness.starts == 0
    assert harness.analyze(str(path), *SIDE, "--preflight", "off", OCHY_PREFLIGHT=None).exit_code == 0
    assert harness.starts == 1
