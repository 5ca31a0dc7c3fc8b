"""What `repr` shows of a gait: logs, tracebacks and asserts show it unasked, so it holds no measured value."""

from __future__ import annotations

import io

import pytest

from ochy_async.gait import back_gait, side_gait

from .recordings import filmed, landmarks, runner

SIDE = side_gait(landmarks(filmed(runner(1))))
BACK = back_gait(landmarks(filmed(runner(1), "back_view"), "back_view"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (SIDE, "<SideGait of 240 frames>"),
        (BACK, "<BackGait of 240 frames>"),
        (SIDE.recording, "<Recording of 240 frames>"),
        (SIDE.curves["left"]["knee"], f"<Curve of {SIDE.curves['left']['knee'].strides} strides>"),
    ],
)
def test_a_gait_shows_no_measured_value(value: object, text: str) -> None:
    """Only how much there is, with rich too."""
    assert repr(value) == str(value) == text
    console = pytest.importorskip("rich.console", reason="needs the extra cli: rich is not installed")
    shown = io.StringIO()
    console.Console(file=shown, width=200).print(value)
    assert shown.getvalue() == f"{type(value).__name__}({text!r})\n"
