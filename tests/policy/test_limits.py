"""Tests of deadlines and size limits."""

from __future__ import annotations

from ochy_async import Limits


def test_the_deadline_of_a_transfer_grows_with_its_size() -> None:
    """The deadline has time for the bytes of the clip."""
    assert Limits(call=60, upload_rate=1_000).transfer(30_000) == 90
