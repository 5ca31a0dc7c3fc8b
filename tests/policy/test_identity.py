"""Tests of the identity of a clip: what changes it, and that it never changes by itself."""

from __future__ import annotations

from typing import Any

import pytest

from ochy_async import BackView, SideView
from ochy_async.policy.identity import identity

CONTENT = "ab" * 32
BASE: dict[str, Any] = {"content": CONTENT, "request": SideView(), "account": "me", "origin": "https://a.example"}


def key(**other: Any) -> str:
    given = {**BASE, **other}
    return identity(given["content"], given["request"], given["account"], given["origin"])


OTHERS: list[dict[str, Any]] = [
    {"content": "cd" * 32},
    {"request": BackView()},
    {"request": BackView(full_body=False)},
    {"request": SideView(height=1.71)},
    {"request": SideView(weight=71)},
    {"request": SideView(pace="05:00")},
    {"request": SideView(treadmill=True, pace="05:00")},
    {"request": SideView(language="fr")},
    {"request": SideView(subject_id="s1")},
    {"account": "you"},
    {"origin": "https://b.example"},
]


def test_whatever_changes_the_answer_changes_the_identity() -> None:
    """All of these are different clips."""
    keys = {key(**other) for other in ({}, *OTHERS)}
    assert len(keys) == len(OTHERS) + 1


@pytest.mark.parametrize("request_", [SideView(), SideView(height=1.7, weight=70.0), SideView(notify_via_webhook=True)])
def test_what_does_not_change_the_answer_does_not_change_the_identity(request_: SideView) -> None:
    """Explicit defaults, and the webhook."""
    assert key(request=request_) == key()


def test_the_identity_is_the_same_in_every_version() -> None:
    """Another digest in a later version would buy every clip of every journal again."""
    assert key() == "709eec88ea5f280bbd8fbedec1edca8061def722d27bfc45d56624ce67479e10"
