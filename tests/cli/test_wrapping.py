"""Lines that are too long for a terminal: broken between words, and never within something that is copied."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("click", reason="needs the extra cli: click is not installed")

from ochy_async.cli.display.wrapping import fitted, wrapped
from tests.support.cli_harness import run_cli

WHOLE = (
    "clips/a long run on a sunday morning by the river.mp4:",
    "'/home/anna/my clips of the year/results of the season'",
    "https://partner-api.example/analysis/2017ceef-23b2-44cf-a729-507a47ea5c41/results",
    "`ochy journal adopt clips/anna.mp4 9b2f4c1e`",
    "2017ceef-23b2-44cf-a729-507a47ea5c41",
)
"""What stays on one line, whatever the width."""


@pytest.mark.parametrize("columns", range(60, 121, 3))
def test_no_word_and_nothing_that_is_copied_is_broken(columns: int) -> None:
    """All words are there in order, and each line fits, unless it holds a unit that fits no line."""
    line = f"{WHOLE[0]} it cannot be read, {WHOLE[1]} neither. See {WHOLE[2]} or use {WHOLE[3]}, analysis {WHOLE[4]}."
    lines = list(wrapped(line, columns))
    assert " ".join(lines) == line
    for unit in WHOLE:
        assert any(unit in each for each in lines) or len(unit) > columns
    too_long = [unit for unit in WHOLE if len(unit) > columns]
    assert all(len(each) <= columns or any(unit in each for unit in too_long) for each in lines)


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("It fits.", ["It fits."]),
        ("  - one of a list that is too long to fit", ["  - one of a list that is too", "    long to fit"]),
        ("  a part of it that is too long to fit", ["  a part of it that is too long", "  to fit"]),
        ("Install it now: pip install 'ochy-async[report]'", ["Install it now:", "pip install 'ochy-async[report]'"]),
        ("      ochy analyze clips --view side --out results", ["      ochy analyze clips --view side --out results"]),
        ("  /home/anna/my results/report/index.html", ["  /home/anna/my results/report/index.html"]),
        ("The vendor's dashboard shows the vendor's list.", ["The vendor's dashboard shows the", "vendor's list."]),
        ("日本語の名前.mp4: 分析 されました 分析 されました", ["日本語の名前.mp4: 分析", "されました 分析 されました"]),
        ("a\x1b[32m green word is no wider\x1b[0m.", ["a\x1b[32m green word is no wider\x1b[0m."]),
        (f"1 of 5, /{'clips/' * 5}a b.mp4: failed", [f"1 of 5, /{'clips/' * 5}a b.mp4: failed"]),
        (
            f"/{'clips/' * 5}a b.mp4: it has failed, and the credit is spent",
            [f"/{'clips/' * 5}a b.mp4: it has failed, and the", "credit is spent"],
        ),
        ("", [""]),
    ],
)
def test_how_lines_are_wrapped(line: str, lines: list[str]) -> None:
    """At 32 columns: lists and parts keep their indentation; commands and paths are never broken."""
    assert list(wrapped(line, 32)) == lines


@given(st.text(alphabet="ab /.:'`\"-日é\u0301\t", max_size=120), st.integers(40, 80))
def test_no_text_is_lost(text: str, columns: int) -> None:
    """Whatever the text, only blanks become line breaks."""
    assert re.sub(r"\s", "", "".join(wrapped(text, columns))) == re.sub(r"\s", "", text)


def test_what_is_no_terminal_gets_the_lines_as_they_are() -> None:
    """A pipe, a file, and a stream without a file."""
    text = "word " * 100
    read_end, write_end = os.pipe()
    with os.fdopen(read_end), os.fdopen(write_end, "w") as pipe:
        assert fitted(text, pipe) == text
    assert fitted(text, io.StringIO()) == text


def test_the_notes_of_a_table_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of `ochy check`, which are sentences."""
    from ochy_async.cli.display.tables import TextTable, render_table

    monkeypatch.setenv("COLUMNS", "60")
    note = "clips/anna.mp4 (side view): warning: picture: 1080x1920 is portrait, but a side view is filmed in landscape"
    (drawn,) = render_table(TextTable("Clips", ("clip",), (("anna.mp4",),), (note,)))
    assert drawn.endswith("1080x1920 is\nportrait, but a side view is filmed in landscape\n")


COMMANDS = (
    ("wait", "an-id"),
    ("analyze", "missing.csv"),
    ("wait", "an-id", "--keep", "video"),
    ("plot", ".", "--what", "hips"),  # click writes more than "Error: " before such a message
)
"""Commands that end with an error: of the library, and of click."""


def said(*words: str) -> list[str]:
    """The lines of the error where stderr is no terminal."""
    result = run_cli(*words, OCHY_API_KEY=None)
    assert result.exit_code != 0
    return result.stderr.splitlines()


def test_messages_in_a_pipe_are_single_lines() -> None:
    """A log has one line for each message, and one for where its help is."""
    message, its_help = said("wait", "an-id")[-2:]
    assert len(message) > 80
    assert its_help.startswith("Help: ")


@pytest.mark.skipif(sys.platform == "win32", reason="needs the pseudo-terminals of POSIX")
@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("words", COMMANDS, ids=str)
def test_words_are_whole_on_a_terminal(words: tuple[str, ...], columns: int, tmp_path: Path) -> None:
    """The words on the screen are those of the message."""
    pytest.importorskip("pyte", reason="needs the terminal emulator of the extra `dev`")
    from tests.support.terminal import terminal

    env = {name: value for name, value in os.environ.items() if name not in ("OCHY_API_KEY", "COLUMNS", "LINES")}
    with terminal(columns, 24, tmp_path / "said") as tty:
        with tty.running(*words, env={**env, "TERM": "xterm-256color"}) as child:
            assert tty.exit_code(child) != 0
        message = [word for line in said(*words) for word in line.split()]
        shown = " ".join(tty.rows).split()
    assert shown[-len(message) :] == message, str(tty)
