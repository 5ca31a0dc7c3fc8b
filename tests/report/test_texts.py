"""Texts of the vendor and of users on pages: their spaces stay spaces, and nothing in them is obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.report import write_report
from ochy_async.report.analyses import plain
from tests.support.report_folders import record, scored_parts, write_records

REPLACED = "\N{REPLACEMENT CHARACTER}"
SHOWN = {
    "no-break space": ("Bras\u00a0:", "Bras :"),
    "narrow no-break space": ("Oui\u202f!", "Oui !"),
    "ideographic space": ("腕を\u3000振る", "腕を 振る"),
    "line separator": ("one\u2028two", "one two"),
    "newline": ("one\ntwo\tthree\r\nfour", "one two three  four"),
    "soft hyphen": ("Fuß\u00adaufsatz", "Fußaufsatz"),
    "zero width space": ("ab\u200bcd", "abcd"),
    "emoji joiner": ("👩\u200d🦰", "👩\u200d🦰"),
    "non-joiner": ("می\u200cخواهم", "می\u200cخواهم"),
    "flag of tags": ("🏴\U000e0067\U000e007f", "🏴\U000e0067\U000e007f"),
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.values(), ids=SHOWN)
def test_a_text_keeps_its_spaces_and_joiners(text: str, shown: str) -> None:
    """French, Japanese and German texts of Ochy hold them, and names do too."""
    assert plain(text) == shown


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\x85", "\u202e", "\u2066", "\u061c", "\u200f", "\ud800"])
def test_what_a_page_must_not_obey_is_replaced(letter: str) -> None:
    """Control characters, those that turn the direction of a text, and halves of a character."""
    assert plain(f"a{letter}b") == f"a{REPLACED}b"


def test_a_link_that_is_broken_by_invisible_letters_is_removed() -> None:
    """Else the page would show the link as soon as they are gone."""
    assert "Signature" not in plain("ht\u00adtps://files.example/v.mp4?X-Amz-Signa\u200bture=Signature1")


def test_a_page_shows_the_vendors_texts_without_a_mark(tmp_path: Path) -> None:
    """Titles, positions and advice with the spaces of many languages."""
    line = record(0, subject="Zoë\u00a0Müller", language="fr")
    for part in scored_parts(line):
        part["texts"].update(title="Bras\u00a0:", position="Vous êtes sûr\u202f?", recap=["腕を\u3000振る", "a\nb"])
    overview = write_report(write_records(tmp_path, line))
    for page in overview.parent.glob("*.html"):
        assert REPLACED not in page.read_text(encoding="utf-8")
