"""Heights, weights and paces as people write them: accepted if there is one meaning, refused if there are two."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.batch.unit_parsing import READERS, with_accepted_forms
from ochy_async.errors import Problem

GOOD: dict[str, dict[str, Any]] = {
    "height": {
        "1.75": 1.75,
        "1,75": 1.75,
        " 1.75 ": 1.75,
        "2": 2.0,
        "175": 175.0,
        "1.75 m": 1.75,
        "1,75m": 1.75,
        "1.75 Meters": 1.75,
        "1.75 metres": 1.75,
        "175 centimetres": 1.75,
        "175 cm": 1.75,
        "175cm": 1.75,
        "175,5 CM": 1.755,
        "175\u00a0cm": 1.75,
        "175\u202fcm": 1.75,
        "178 cm": 1.78,
        "1750 mm": 1.75,
        "1 m 75 cm": 1.75,
        "5 ft 9 in": 1.7526,
        "5ft9in": 1.7526,
        "5'9\"": 1.7526,
        "5′9″": 1.7526,
        "69 in.": 1.7526,
    },
    "weight": {
        "68": 68.0,
        "68.5": 68.5,
        "68,5": 68.5,
        "68 kg": 68.0,
        "68,5kg": 68.5,
        "68500 g": 68.5,
        "150 lb": 68.0388555,
        "150lbs": 68.0388555,
        "11 st 4 lb": 71.66759446,
    },
    "pace": {
        "04:30": "04:30",
        "4:30": "04:30",
        " 4:30 ": "04:30",
        "0:04:30": "04:30",
        "00:04:30": "04:30",
        "4:30/km": "04:30",
        "4:30 min/km": "04:30",
        "4:30 /km": "04:30",
        "7:15 /mi": "04:30",
        "7:15 min / mile": "04:30",
        "12:00": "12:00",
    },
}
BAD: dict[str, tuple[str, ...]] = {
    "height": (
        *("", "m", "x", "nan", "inf", "-1.75", "+1.75", "1e2", "1_75", "١٫٧٥", "1.75.1", "1,75.1", "1.75,1", ".75"),
        *("1.75 kg", "175 c m", "75 cm 1 m", "1 m 1 m", "1.75 1", "5 ft 9", "1m75", "1.75 m x", "1" * 50, "cm 175"),
    ),
    "weight": ("", "kg", "70 m", "70 kg 5 kg", "1,234.5", "seventy", "70 kg!", "-70"),
    "pace": (
        *(
            "",
            "4.5",
            "4:3",
            "4:60",
            "4",
            "04:30:00",
            "1:04:30",
            "004:30",
            "4:30 /h",
            "4:30 km",
            "-4:30",
            "4:30:",
            "٤:٣٠",
        ),
    ),
}


@pytest.mark.parametrize(
    ("field", "text", "value"), [(field, text, value) for field, each in GOOD.items() for text, value in each.items()]
)
def test_unambiguous_texts_are_read(field: str, text: str, value: Any) -> None:
    """To the last digit: `178 cm` and `1.78` are one runner, and so one clip that is bought once."""
    assert READERS[field](text) == value


@pytest.mark.parametrize(("field", "text"), [(field, text) for field, each in BAD.items() for text in each])
def test_ambiguous_and_invalid_texts_are_refused(field: str, text: str) -> None:
    """A number alone is in the vendor's unit; any other unit must be written."""
    with pytest.raises(ValueError, match="not a "):
        READERS[field](text)


@given(st.text(max_size=30))
def test_any_text_gives_a_positive_number_or_a_value_error(text: str) -> None:
    """For any text at all."""
    for read in READERS.values():
        with suppress(ValueError):
            assert read(text) is not None
            assert str(read(text))[0].isdigit()


@given(st.integers(50, 280))
def test_centimeters_are_hundredths_of_a_meter(centimeters: int) -> None:
    """The result equals the number written in meters."""
    assert READERS["height"](f"{centimeters} cm") == float(f"{centimeters / 100:.2f}")


def test_a_problem_lists_the_accepted_forms() -> None:
    """For a field, and for a field of a line."""
    for field in ("height", "line 3, height"):
        assert "'175 cm'" in with_accepted_forms(Problem(field, "looks like centimeters")).message
    assert with_accepted_forms(Problem("language", "must be")).message == "must be"
