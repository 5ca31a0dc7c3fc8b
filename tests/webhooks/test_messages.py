"""The message on a bus: built, read again, and told from everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.webhooks.messages import MAX_MESSAGE, Hint, read_hint

GOOD: dict[str, Any] = {"ochy": 1, "node": "a", "analysis": "an-1", "sequence": 3}


@given(
    st.builds(Hint, node=st.text(min_size=1, max_size=40), analysis_id=st.text(min_size=1, max_size=40))
    | st.builds(Hint, node=st.just("n"), analysis_id=st.text(min_size=1, max_size=100), sequence=st.integers())
)
def test_a_hint_is_read_as_it_was_built(hint: Hint) -> None:
    """Whatever an id holds, the text is printable ASCII and becomes the same hint."""
    text = hint.text()
    assert text.isascii()
    assert text.isprintable()
    assert read_hint(text) == hint


def test_the_format_is_fixed() -> None:
    """Replicas of different versions run side by side during a deployment."""
    assert Hint("5f0c", "an-42", 7).text() == '{"ochy":1,"node":"5f0c","analysis":"an-42","sequence":7}'


@pytest.mark.parametrize(
    "change",
    [
        *({"ochy": value} for value in (2, 0, "1", True, 1.0, None)),
        *({"node": value} for value in ("", 5, None)),
        *({"analysis": value} for value in ("", 5, None, ["an-1"])),
    ],
    ids=repr,
)
def test_another_message_is_ignored(change: dict[str, Any]) -> None:
    """A later version, or a value of another type, is no hint."""
    assert read_hint(json.dumps(GOOD)) == Hint("a", "an-1", 3)
    assert read_hint(json.dumps({**GOOD, **change})) is None


@pytest.mark.parametrize("sequence", ["3", True, 3.0, None, [3]], ids=repr)
def test_an_unreadable_sequence_counts_as_none(sequence: object) -> None:
    """The id is what a hint is about."""
    assert read_hint(json.dumps({**GOOD, "sequence": sequence})) == Hint("a", "an-1")


def test_unknown_keys_are_ignored() -> None:
    """A later version may add some."""
    assert read_hint(json.dumps({**GOOD, "later": {"a": 1}})) == Hint("a", "an-1", 3)


def test_what_is_longer_than_any_message_is_not_parsed() -> None:
    """Other programs may put large texts on the channel."""
    assert read_hint(json.dumps({**GOOD, "padding": "x" * MAX_MESSAGE})) is None


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_nothing_else_is_a_hint(text: str) -> None:
    """Any other text is ignored without an error."""
    assert read_hint(text) is None


@pytest.mark.parametrize("text", ["[" * 1000, '{"a":' * 200, "9" * 1000, '{"ochy":1', "NaN", "\ud800"], ids=ascii)
def test_hostile_text_raises_nothing(text: str) -> None:
    """Deep nesting, huge numbers and cut text are no hints."""
    assert read_hint(text) is None
