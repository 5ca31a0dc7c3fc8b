"""A call: a request, how to read its answer, and whether it may be repeated.

Invariant: the body is read before the HTTP status, because `failed` is an HTTP 400, and so is a refused upload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote

import orjson
from attrs import field, frozen

from ..errors import InvalidRequest, Problem
from .converter import structure
from .drift import DriftLog, DriftNote, Mismatch
from .error_mapping import error_of, parse_json, unreadable_answer
from .routes import ROUTES, START, Route
from .wire import Request, Response

__all__ = ["Call", "call_for", "custom_call", "is_state"]

T = TypeVar("T")


def _is_success(status: int, _: Any) -> bool:
    return 200 <= status < 300


def is_state(status: int, body: Any) -> bool:
    """Whether an answer is the state of an analysis: a body with a `status`, also as an HTTP 400.

    A body with a `detail` is not a state.
    """
    if not isinstance(body, dict) or not isinstance(body.get("status"), str) or body.get("detail") is not None:
        return False
    return 200 <= status < 300 or status == 400


@frozen
class Call(Generic[T]):
    """One call of the API, ready to be sent."""

    request: Request
    read: Callable[[Any], T]
    """Converts the JSON to a value. Raises `Mismatch`."""
    name: str
    """The name of the value in drift notes."""
    repeatable: bool
    """Whether it may be sent again: it creates nothing and charges nothing."""
    accepts: Callable[[int, Any], bool] = _is_success
    """Whether a status and a JSON body are an answer. Anything else is an error."""
    analysis_id: str | None = None
    """The analysis that the call is about."""
    json: Callable[[Response], Any] = field(default=parse_json)
    """Parses the body. Raises `ValueError`."""

    def outcome(self, response: Response) -> tuple[T, frozenset[DriftNote]]:
        """The value of an answer and its drift. Raises the `OchyError` that the answer means."""
        body, why = _parsed(self.json, response)
        success = _is_success(response.status, body)
        if why is None and self.accepts(response.status, body):
            success = True
            with DriftLog(self.name) as log:
                try:
                    return self.read(body), log.notes()
                except Mismatch as error:
                    why = str(error)
        del body  # it holds signed URLs and health data, which the frames of an error must not show
        if not success:
            raise error_of(self.request.route, response, self.analysis_id)
        raise unreadable_answer(
            self.request.route, response, why or "it is not an answer to this call", self.analysis_id
        )


def _parsed(parse: Callable[[Response], Any], response: Response) -> tuple[Any, str | None]:
    """The JSON, or why there is none. Errors of the parser hold the complete text and are not passed on."""
    try:
        return parse(response), None
    except ValueError:
        return None, "it is not JSON"


def call_for(
    route: Route,
    cls: type[T],
    *,
    query: tuple[tuple[str, str], ...] = (),
    json: Any = None,
    repeatable: bool = False,
    analysis_id: str | None = None,
    **path: str,
) -> Call[T]:
    """The call of `route` whose answer is a `cls`. GET and PUT are repeatable; a POST only if `repeatable` says so."""
    if analysis_id is not None:
        path["analysis_id"] = analysis_id
    return Call(
        Request(route, route.path(**path), query, json),
        lambda body: structure(body, cls),
        cls.__name__,
        repeatable or route.method != "POST",
        analysis_id=analysis_id,
    )


def custom_call(method: str, path: str, query: tuple[tuple[str, str], ...], json: Any) -> Call[Any]:
    """Any request to the API, with its JSON as the answer. Raises `InvalidRequest` for a path that leaves the API."""
    problems = tuple(_problems(method, path, query, json))
    if problems:
        raise InvalidRequest.of("request", problems)
    route = next((each for each in ROUTES if each.method == method and each.template == path), None)
    request = Request(route or Route(method, path), path, query, json)
    repeatable = method in ("GET", "PUT")
    return Call(request, lambda body: body, "any", repeatable, _accepts_any)


def _problems(method: str, path: str, query: tuple[tuple[str, str], ...], json: Any) -> Iterator[Problem]:
    if method not in _METHODS:
        yield Problem("method", f"must be one of {', '.join(_METHODS)}")
    if not isinstance(path, str) or not _PATH.fullmatch(path) or {".", ".."} & set(unquote(path).split("/")):
        yield Problem("path", "must begin with '/' and be percent-encoded, without query, '//' or '..'")
    elif unquote(path) == START.template:
        yield Problem("path", "starts an analysis and costs a credit; use `start`, which never pays twice")
    if not all(len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in query):
        yield Problem("query", "must be pairs of texts")
    elif any(name.lower() == "apikey" for name, _ in query):
        yield Problem("query", "must not hold the API key; the session adds it where no log shows it")
    try:
        orjson.dumps(json)
    except TypeError:
        yield Problem("json", "cannot be written as JSON")


def _accepts_any(status: int, body: Any) -> bool:
    return _is_success(status, body) or is_state(status, body)


_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)+")
