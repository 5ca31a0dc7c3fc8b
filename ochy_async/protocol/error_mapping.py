"""Which error an answer means: one table from HTTP status, vendor code and route to an error class.

Invariant: an error says what the caller can do next, and never repeats a secret or health data: links and e-mail
addresses in the vendor's text are masked.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from attrs import frozen

from ..errors import (
    BuyCredits,
    ClipRefused,
    KeyRefused,
    NotFound,
    NotReady,
    OchyError,
    RateLimited,
    RequestRefused,
    ServerError,
    UnreadableAnswer,
)
from .answer import ID_KEYS
from .json_outline import describe_body, outline, safe_key
from .redaction import redact_words
from .routes import CALCULATED_DATA, RAW_DATA, START, Route
from .wire import Response

__all__ = ["error_of", "parse_json", "unreadable_answer", "vendor_text"]


@frozen
class _Rule:
    error: type[OchyError]
    happened: str
    advice: str
    """What to do next."""


_CHECK_KEY: Final = "Check OCHY_API_KEY against the vendor's dashboard; rotating a key revokes the old one at once"
_NO_CREDITS: Final = _Rule(BuyCredits, "the account has no credits left", "Buy credits in the vendor's dashboard")
_CLIP_REFUSED: Final = _Rule(
    ClipRefused,
    "the server refused the clip",
    "Send MP4, MOV, AVI or WEBM of at most 30 MB and 10 s; whether this was charged is not documented",
)
_NOT_READY: Final = _Rule(NotReady, "the analysis has not succeeded yet", "Wait for it with `wait`, then ask again")
_SERVER_ERROR: Final = _Rule(ServerError, "the server failed", "Try again later")
_REDIRECT: Final = _Rule(
    UnreadableAnswer,
    "the server answered with a redirect, which is never followed because the URL holds the key",
    "Check the base URL",
)

_BY_CODE: Final = {
    "insufficient_credits": _NO_CREDITS,
    "file_too_large": _CLIP_REFUSED,
    "invalid_file_type": _CLIP_REFUSED,
}
_BY_ROUTE: Final = {(START, 400): _CLIP_REFUSED, (CALCULATED_DATA, 400): _NOT_READY, (RAW_DATA, 400): _NOT_READY}
_BY_STATUS: Final = {
    401: _Rule(KeyRefused, "the API key is missing", _CHECK_KEY),
    402: _NO_CREDITS,
    403: _Rule(KeyRefused, "the API key is not valid", _CHECK_KEY),
    404: _Rule(NotFound, "it does not exist", "Check the id; a deleted subject cannot be restored"),
    408: _SERVER_ERROR,
    413: _CLIP_REFUSED,
    429: _Rule(RateLimited, "the server asks for fewer requests", "Try again later, or send fewer requests"),
}
_BY_CLASS: Final = {
    3: _REDIRECT,
    4: _Rule(RequestRefused, "the server refused the request", "Change the request as the server's message says"),
    5: _SERVER_ERROR,
}
_UNKNOWN_STATUS: Final = _Rule(UnreadableAnswer, "the server answered with an unknown status", "Report it")


def parse_json(response: Response) -> Any:
    """The body as strict JSON (no NaN, bounded nesting). Raises `ValueError` for anything else."""
    return orjson.loads(response.body)


def error_of(route: Route, response: Response, analysis_id: str | None = None) -> OchyError:
    """The error that an answer means, if it is neither a success nor a state."""
    try:
        body = parse_json(response)
    except ValueError:
        body = None
    answer: dict[str, Any] = body if isinstance(body, dict) else {}
    code = answer.get("code") if isinstance(answer.get("code"), str) else None
    rule = _rule(route, response.status, code)
    detail = vendor_text(answer.get("detail"))
    quoted = f" ({detail})" if detail else ""
    error = rule.error(
        f"{route}: HTTP {response.status}: {rule.happened}{quoted}. {rule.advice}.",
        status=response.status,
        code=vendor_text(code),
        detail=detail,
        route=str(route),
        analysis_id=analysis_id or _id_in(answer),
    )
    if isinstance(error, UnreadableAnswer):
        error.excerpt = describe_body(response.body) if body is None else outline(body)
    return error


def _rule(route: Route, status: int, code: str | None) -> _Rule:
    if 400 <= status < 500 and code in _BY_CODE:
        return _BY_CODE[code]
    return _BY_ROUTE.get((route, status)) or _BY_STATUS.get(status) or _BY_CLASS.get(status // 100) or _UNKNOWN_STATUS


def unreadable_answer(route: Route, response: Response, why: str, analysis_id: str | None = None) -> UnreadableAnswer:
    """The error for a success that cannot be read. It holds the route, the status, and an outline without values."""
    try:
        small = len(response.body) <= _MAX_OUTLINED
        excerpt = outline(parse_json(response)) if small else describe_body(response.body)
    except ValueError:
        excerpt = describe_body(response.body)
    paid = " The analysis is paid for, and the vendor still has it; fetch its JSON with `OchySession.request`."
    error = UnreadableAnswer(
        f"{route}: HTTP {response.status}: unreadable answer: {why}. The answer was {excerpt}."
        f"{paid if analysis_id else ''} Please report this with this text: it holds no values.",
        status=response.status,
        route=str(route),
        analysis_id=analysis_id,
    )
    error.excerpt = excerpt
    return error


def _id_in(answer: dict[str, Any]) -> str | None:
    found = next((answer[name] for name in ID_KEYS if answer.get(name)), None)
    return found if isinstance(found, str) else None


_EMAIL: Final = re.compile(r"\S+@\S+")
_MAX_TEXT: Final = 200
_MAX_OUTLINED: Final = 1_000_000  # bytes: a larger body is not parsed again only to outline it


def vendor_text(detail: object) -> str | None:
    """The vendor's text, fit to be shown: one line, cut, with links and e-mail addresses masked.

    A list is read as the usual validation answer (`loc`, `msg`). Its `input` is health data and left out.
    """
    if isinstance(detail, list):
        detail = "; ".join(filter(None, map(_validation_message, detail[:8])))
    if not isinstance(detail, str) or not detail.strip():
        return None
    line = _EMAIL.sub("[address]", redact_words(" ".join(detail[: 4 * _MAX_TEXT].split())))
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"


def _validation_message(item: object) -> str:
    if not isinstance(item, dict) or not isinstance(item.get("msg"), str):
        return ""
    location = item.get("loc")
    path = ".".join(safe_key(step) for step in location) if isinstance(location, list) else ""
    return f"{path}: {item['msg']}" if path else item["msg"]
