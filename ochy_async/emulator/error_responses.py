"""The errors of the emulated service: an exception inside, an error body outside.

Invariant: pure, and every documented error is written here once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .messages import ServiceResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HttpError", "json_bytes", "json_response", "unprocessable"]


class HttpError(Exception):
    """A request that is rejected. It never leaves `Service.handle`."""

    def __init__(
        self, status: int, detail: Any, *, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers: Mapping[str, str] = headers or {}

    def response(self, *, codes: bool) -> ServiceResponse:
        """The error body; with `codes` false it has no `code`."""
        body = {"detail": self.detail}
        if codes and self.code is not None:
            body["code"] = self.code
        return json_response(self.status, body, self.headers)


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> ServiceResponse:
    """A response with `body` as JSON."""
    return ServiceResponse(status, {"content-type": "application/json", **(headers or {})}, json_bytes(body))


def json_bytes(value: Any) -> bytes:
    """A value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def unprocessable(field: str, problem: str, value: object) -> HttpError:
    """A 422 in FastAPI's form, with a list in `detail`. Inferred."""
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
    """Status and code are documented, the text is assumed."""
    return HttpError(413, "Video file is too large", code="file_too_large")


def wrong_type() -> HttpError:
    """Status and code are documented, the text is assumed."""
    return HttpError(400, "Invalid file type. Allowed types are mp4, mov, avi and webm", code="invalid_file_type")


def too_long() -> HttpError:
    """The status is documented, the text is assumed."""
    return HttpError(400, "Video is longer than 10 seconds")


def bad_pace() -> HttpError:
    """Assumed."""
    return HttpError(400, "pace must be given as MM:SS")


def pace_missing() -> HttpError:
    """Assumed."""
    return HttpError(400, "pace is required when treadmill is true")


def not_found(what: str) -> HttpError:
    """The status is documented, the text is assumed."""
    return HttpError(404, f"{what} not found")


def not_ready() -> HttpError:
    """The status is documented, the text is assumed."""
    return HttpError(400, "Analysis is not completed")
