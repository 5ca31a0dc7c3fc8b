"""Every path of the API in one table. All are documented by the vendor unless a comment says otherwise."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from attrs import frozen

from ..errors import InvalidRequest, Problem

__all__ = ["ROUTES", "Route"]

_ID: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")


@frozen
class Route:
    """A method and a path template."""

    method: str
    template: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def path(self, **parts: str) -> str:
        """The template with its parts, each percent-encoded as a whole so that it stays in its segment.

        Ids are opaque (documented). Raises `InvalidRequest` for a text that cannot be an id.
        """
        problems = tuple(
            Problem(name, "must be an id: a text that is not empty, '.' or '..', without control characters")
            for name, value in parts.items()
            if not isinstance(value, str) or value in (".", "..") or not _ID.fullmatch(value)
        )
        if problems:
            raise InvalidRequest.of(str(self), problems)
        return self.template.format(**{name: quote(value, safe="") for name, value in parts.items()})


START = Route("POST", "/analysis/start")
RESULTS = Route("GET", "/analysis/{analysis_id}/results")
CALCULATED_DATA = Route("GET", "/analysis/{analysis_id}/results/calculated_data")
RAW_DATA = Route("GET", "/analysis/{analysis_id}/results/raw_data")  # inferred, never seen on the wire
LIST_ANALYSES = Route("GET", "/analysis")
LIST_SUBJECT_ANALYSES = Route("GET", "/analysis/subjects/{subject_id}")
CREATE_SUBJECT = Route("POST", "/subjects")
LIST_SUBJECTS = Route("GET", "/subjects")
GET_SUBJECT = Route("GET", "/subjects/{subject_id}")
UPDATE_SUBJECT = Route("PUT", "/subjects/{subject_id}")
DELETE_SUBJECT = Route("POST", "/subjects/{subject_id}/delete")  # inferred, never seen on the wire
GET_WEBHOOK = Route("GET", "/webhook")
CONFIGURE_WEBHOOK = Route("PUT", "/webhook")
EXERCISES = Route("POST", "/exercises")

ROUTES = (
    START,
    RESULTS,
    CALCULATED_DATA,
    RAW_DATA,
    LIST_ANALYSES,
    LIST_SUBJECT_ANALYSES,
    CREATE_SUBJECT,
    LIST_SUBJECTS,
    GET_SUBJECT,
    UPDATE_SUBJECT,
    DELETE_SUBJECT,
    GET_WEBHOOK,
    CONFIGURE_WEBHOOK,
    EXERCISES,
)
