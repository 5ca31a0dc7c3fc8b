"""Tests of the sentence about credits: a table of reports and their texts."""

from __future__ import annotations

from typing import Any

import pytest

from ochy_async.batch.report import Report, credits_text, short_credits_text

TEXTS: list[tuple[dict[str, Any], str]] = [
    ({}, "0 credits spent by this run."),
    ({"spent": 1, "committed": 1, "charged": 1}, "1 credit spent by this run."),
    (
        {"spent": 6, "committed": 10, "charged": 10, "already_paid": 4},
        "6 credits spent by this run, 10 in all; 4 not needed: results were already paid for.",
    ),
    (
        {"spent": 3, "committed": 3, "charged": 3, "already_paid": 1},
        "3 credits spent by this run; 1 not needed: results were already paid for.",
    ),
    ({"spent": 5, "uncertain": 1, "committed": 6, "charged": 5}, "5 credits spent by this run and 1 uncertain."),
    (
        {"uncertain": 1, "committed": 9, "charged": 8, "already_paid": 8},
        "0 credits spent by this run and 1 uncertain, at most 9 in all; 8 not needed: results were already paid for.",
    ),
    ({"spent": 2, "committed": 3, "charged": 2}, "2 credits spent by this run, at most 3 in all."),
]


def report(**facts: Any) -> Report:
    none: dict[str, Any] = {"outcomes": {}, "spent": 0, "uncertain": 0, "already_paid": 0, "committed": 0, "charged": 0}
    return Report(**none | facts)


@pytest.mark.parametrize(("facts", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_one_sentence_says_what_was_spent(facts: dict[str, Any], text: str) -> None:
    """Certain, uncertain, in total and not needed; zeros are left out."""
    assert credits_text(report(**facts)) == text


def test_simulated_credits_are_labelled() -> None:
    """Nobody can take an emulator's credits for real ones."""
    assert (
        credits_text(report(spent=2, committed=2, charged=2), simulated=True)
        == "2 simulated credits spent by this run."
    )
    assert short_credits_text(report(spent=1), simulated=True) == "1 simulated credit spent"


def test_the_text_for_a_progress_bar_is_short() -> None:
    """It has what is certainly spent, and what may be."""
    assert short_credits_text(report(spent=3, uncertain=2)) == "3 credits spent, 2 uncertain"
