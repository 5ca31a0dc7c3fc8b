"""Which error an answer means: one table from HTTP status, vendor code and route to a class.

Invariant: a refusal says what the caller can do next, and never repeats what could be a
secret or health data: addresses and links in the vendor's words are masked.
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
from .outline import describe_body, outline, safe_key
from .redaction import redact_words
from .routes import CALCULATED_DATA, RAW_DATA, START, Route
from .wire import Response

__all__ = ["error_of", "parse_json", "unreadable_answer", "vendor_text"]


@frozen
class _Rule:
    error: type[OchyError]
    what: str
    """What happened."""
    do: str
    """What to do next."""


_KEY: Final = "Check OCHY_API_KEY against the vendor's dashboard; rotating a key kills the old one at once"
_CREDITS: Final = _Rule(BuyCredits, "the account has no credits left", "Buy credits in the vendor's dashboard")
_CLIP: Final = _Rule(
    ClipRefused,
    "the server refused the clip",
    "Send MP4, MOV, AVI or WEBM of at most 30 MB and 10 s; whether this was charged is not documented",
)
_EARLY: Final = _Rule(NotReady, "the analysis has not succeeded yet", "Wait for it with `wait`, then ask again")
_LATER: Final = _Rule(ServerError, "the server is in trouble", "Try again later")
_MOVED: Final = _Rule(
    UnreadableAnswer,
    "the server answered with a redirect, which is never followed because the URL holds the key",
    "Check the base URL",
)

_BY_CODE: Final = {"insufficient_credits": _CREDITS, "file_too_large": _CLIP, "invalid_file_type": _CLIP}
_BY_ROUTE: Final = {(START, 400): _CLIP, (CALCULATED_DATA, 400): _EARLY, (RAW_DATA, 400): _EARLY}
_BY_STATUS: Final = {
    401: _Rule(KeyRefused, "the API key is missing", _KEY),
    402: _CREDITS,
    403: _Rule(KeyRefused, "the API key is not valid", _KEY),
    404: _Rule(NotFound, "there is no such thing", "Check the id; a deleted subject is gone for good"),
    408: _LATER,
    413: _CLIP,
    429: _Rule(RateLimited, "the server asks for fewer requests", "Try again later, or lower the pace"),
}
_BY_CLASS: Final = {
    3: _MOVED,
    4: _Rule(RequestRefused, "the server refused the request", "Change the request as the server's words say"),
    5: _LATER,
}
_STRANGE: Final = _Rule(UnreadableAnswer, "the server answered with a status that means nothing here", "Report it")


def parse_json(response: Response) -> Any:
    """The body as JSON by the book (no NaN, bounded nesting). Raises `ValueError` if it is none."""
    return orjson.loads(response.body)


def error_of(route: Route, response: Response, analysis_id: str | None = None) -> OchyError:
    """The error that an answer means which is neither a success nor a state."""
    try:
        body = parse_json(response)
    except ValueError:
        body = None
    said: dict[str, Any] = body if isinstance(body, dict) else {}
    code = said.get("code") if isinstance(said.get("code"), str) else None
    rule = _rule(route, response.status, code)
    detail = vendor_text(said.get("detail"))
    quoted = f" ({detail})" if detail else ""
    error = rule.error(
        f"{route}: HTTP {response.status}: {rule.what}{quoted}. {rule.do}.",
        status=response.status,
        code=vendor_text(code),
        detail=detail,
        route=str(route),
        analysis_id=analysis_id or _id_in(said),
    )
    if isinstance(error, UnreadableAnswer):
        error.excerpt = describe_body(response.body) if body is None else outline(body)
    return error


def _rule(route: Route, status: int, code: str | None) -> _Rule:
    if 400 <= status < 500 and code in _BY_CODE:
        return _BY_CODE[code]
    return _BY_ROUTE.get((route, status)) or _BY_STATUS.get(status) or _BY_CLASS.get(status // 100) or _STRANGE


def unreadable_answer(route: Route, response: Response, why: str, analysis_id: str | None = None) -> UnreadableAnswer:
    """The error for a success that cannot be read: route, status, and an outline without values."""
    try:
        small = len(response.body) <= _LARGE
        excerpt = outline(parse_json(response)) if small else describe_body(response.body)
    except ValueError:
        excerpt = describe_body(response.body)
    paid = " The analysis is paid and kept by the vendor; its JSON can be had with `OchySession.request`."
    error = UnreadableAnswer(
        f"{route}: HTTP {response.status}: unreadable answer: {why}. The answer was {excerpt}."
        f"{paid if analysis_id else ''} Please report this, with this text: it holds no values.",
        status=response.status,
        route=str(route),
        analysis_id=analysis_id,
    )
    error.excerpt = excerpt
    return error


def _id_in(said: dict[str, Any]) -> str | None:
    found = next((said[name] for name in ID_KEYS if said.get(name)), None)
    return found if isinstance(found, str) else None


_ADDRESS: Final = re.compile(r"\S+@\S+")
_LONGEST: Final = 200
_LARGE: Final = 1_000_000  # bytes: more is not read a second time only to outline it


def vendor_text(detail: object) -> str | None:
    """The vendor's words, fit to be shown: one line, cut, links and addresses masked.

    A list is read as the usual validation answer (`loc`, `msg`); its `input` is health data and dropped.
    """
    if isinstance(detail, list):
        detail = "; ".join(filter(None, map(_complaint, detail[:8])))
    if not isinstance(detail, str) or not detail.strip():
        return None
    line = _ADDRESS.sub("[address]", redact_words(" ".join(detail[: 4 * _LONGEST].split())))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _complaint(item: object) -> str:
    if not isinstance(item, dict) or not isinstance(item.get("msg"), str):
        return ""
    where = item.get("loc")
    path = ".".join(safe_key(step) for step in where) if isinstance(where, list) else ""
    return f"{path}: {item['msg']}" if path else item["msg"]
