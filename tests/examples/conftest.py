"""What the tests of the services share."""

from __future__ import annotations

import pytest

from tests.support.examples import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()
