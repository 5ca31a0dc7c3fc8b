"""How the emulated service says no: one exception inside, one error body outside.

Invariant: pure; the table of documented refusals is the only place where their words stand.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .messages import ServiceResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HttpError", "json_response", "unprocessable"]

JSON = {"content-type": "application/json"}


class HttpError(Exception):
    """A request that is not served. It never leaves `Service.handle`."""

    def __init__(
        self, status: int, detail: Any, *, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers = headers or {}

    def answer(self, *, codes: bool) -> ServiceResponse:
        """The error body; with `codes` false it has no `code`."""
        body = {"detail": self.detail}
        if codes and self.code is not None:
            body["code"] = self.code
        return json_response(self.status, body, self.headers)


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> ServiceResponse:
    """`body` as JSON."""
    told = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return ServiceResponse(status, {**JSON, **(headers or {})}, told)


def unprocessable(field: str, problem: str, value: object) -> HttpError:
    """A 422 as FastAPI words it, with a list in `detail`. Inferred."""
    return HttpError(422, [{"type": "value_error", "loc": ["body", field], "msg": problem, "input": value}])


def key_missing() -> HttpError:
    """Documented."""
    return HttpError(401, "API Key is missing")


def key_invalid() -> HttpError:
    """Documented."""
    return HttpError(403, "Invalid API Key")


def no_credits() -> HttpError:
    """Documented."""
    return HttpError(402, "Insufficient credits to perform analysis", code="insufficient_credits")


def too_large() -> HttpError:
    """Documented but for its words."""
    return HttpError(413, "Video file is too large", code="file_too_large")


def wrong_type() -> HttpError:
    """Documented but for its words."""
    return HttpError(400, "Invalid file type. Allowed types are mp4, mov, avi and webm", code="invalid_file_type")


def too_long() -> HttpError:
    """Documented but for its words."""
    return HttpError(400, "Video is longer than 10 seconds")


def bad_pace() -> HttpError:
    """Assumed."""
    return HttpError(400, "pace must be given as MM:SS")


def pace_missing() -> HttpError:
    """Assumed."""
    return HttpError(400, "pace is required when treadmill is true")


def not_found(what: str) -> HttpError:
    """Documented but for its words."""
    return HttpError(404, f"{what} not found")


def not_ready() -> HttpError:
    """Documented but for its words."""
    return HttpError(400, "Analysis is not completed")
