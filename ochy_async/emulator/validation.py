"""Validation of requests: the form of a start and the JSON bodies of the other calls.

Invariant: pure. The first invalid value is an `HttpError`, and nothing has been stored by then.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any

from . import error_responses
from .analysis import StartParameters
from .error_responses import HttpError, unprocessable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .messages import Form, UploadedVideo
    from .settings import EmulatorSettings

__all__ = ["exercise_search", "start_parameters", "subject_profile", "video_error", "webhook_settings"]

VIEWS = ("side_view", "back_view")
LANGUAGES = ("en", "fr", "de", "zh", "ko", "pt", "es", "it", "ja")
EXTENSIONS = (".mp4", ".mov", ".avi", ".webm")
BOOLEANS = {"true": True, "false": False}
PACE = re.compile(r"[0-9]{2}:[0-9]{2}")

# What the vendor does with a height in centimeters is not documented. Nobody is taller than this, so sending 175 is
# an error here instead of a credit spent on a wrong analysis.
TALLEST_METERS = 3.0
HEAVIEST_KILOGRAMS = 500.0


def start_parameters(form: Form | None) -> StartParameters:
    """The parameters in a form, with the documented defaults."""
    if form is None or form.file is None:
        raise unprocessable("video", "Field required", None)
    fields = form.fields
    treadmill = _boolean(fields, "treadmill", default=False)
    return StartParameters(
        video=form.file,
        analysis_type=_choice(fields, "analysis_type", VIEWS),
        height=_number("height", fields.get("height", "1.7"), TALLEST_METERS),
        weight=_number("weight", fields.get("weight", "70"), HEAVIEST_KILOGRAMS),
        pace=_pace(fields.get("pace"), treadmill=treadmill),
        language=_choice(fields, "language", LANGUAGES),
        treadmill=treadmill,
        full_body=_boolean(fields, "full_body", default=True),
        subject_id=fields.get("subject_id"),
        notify=_boolean(fields, "notify_via_webhook", default=False),
    )


def video_error(video: UploadedVideo, settings: EmulatorSettings) -> HttpError | None:
    """The error of an unacceptable video, by the bytes that arrived, or None."""
    if video.size > settings.max_upload_bytes:
        return error_responses.too_large()
    if not video.filename.lower().endswith(EXTENSIONS):
        return error_responses.wrong_type()
    named = {video.sha256, video.filename} & settings.too_long_clips
    if named or (video.seconds or 0) > settings.max_video_seconds:
        return error_responses.too_long()
    return None


def _choice(fields: Mapping[str, str], name: str, options: tuple[str, ...]) -> str:
    value = fields.get(name, options[0])
    if value not in options:
        raise unprocessable(name, f"Input should be one of {', '.join(options)}", value)
    return value


def _boolean(fields: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = fields.get(name, "true" if default else "false")
    if value not in BOOLEANS:
        raise unprocessable(name, "Input should be true or false", value)
    return BOOLEANS[value]


def _pace(value: str | None, *, treadmill: bool) -> str | None:
    if value is None and treadmill:
        raise error_responses.pace_missing()
    if value is not None and not PACE.fullmatch(value):
        raise error_responses.bad_pace()
    return value


def _number(name: str, value: Any, maximum: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise unprocessable(name, "Input should be a valid number", value) from None
    if isinstance(value, bool) or not isfinite(number) or not 0 < number <= maximum:
        raise unprocessable(name, f"Input should be greater than 0 and at most {maximum:g}", value)
    return number


def _json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise unprocessable("body", "Input should be a JSON object", None)
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise unprocessable(name, "Input should be a valid string", value)
    return value


_PROFILE: Mapping[str, Callable[[Any], Any]] = {
    "email": lambda value: _text("email", value),
    "name": lambda value: _text("name", value),
    "height": lambda value: _number("height", value, TALLEST_METERS),
    "weight": lambda value: _number("weight", value, HEAVIEST_KILOGRAMS),
}


def subject_profile(body: bytes) -> dict[str, Any]:
    """The known fields of a subject in `body`; null clears a field, unknown fields are ignored."""
    data = _json_object(body)
    return {key: None if data[key] is None else convert(data[key]) for key, convert in _PROFILE.items() if key in data}


def webhook_settings(body: bytes) -> dict[str, Any]:
    """`url` and `enabled`; both are required and the URL must be https."""
    fields = _json_object(body)
    url, enabled = fields.get("url"), fields.get("enabled")
    if not isinstance(url, str) or not is_https(url):
        raise unprocessable("url", "Input should be an https URL", url)
    if not isinstance(enabled, bool):
        raise unprocessable("enabled", "Input should be true or false", enabled)
    return {"url": url, "enabled": enabled}


def is_https(url: str) -> bool:
    """Whether a URL is https and has a host."""
    return re.match(r"https://[^/\s]", url) is not None


def exercise_search(body: bytes) -> tuple[tuple[str, ...], str]:
    """Search keys and language; an unknown language falls back to English (documented)."""
    fields = _json_object(body)
    keys, language = fields.get("search_keys"), fields.get("language", "en")
    if not isinstance(keys, list):
        raise unprocessable("search_keys", "Input should be a valid list", keys)
    return tuple(_text("search_keys", key) for key in keys), language if language in LANGUAGES else "en"
