"""Every path of the API in one table, with how we know it.

The escape hatch (`OchySession.request`) and the emulator's documentation read the same marks.
"""

from __future__ import annotations

import enum
import re
from typing import Final
from urllib.parse import quote

from attrs import frozen

from ..errors import InvalidRequest, Problem

__all__ = ["ROUTES", "Provenance", "Route"]

_ID: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")


class Provenance(enum.Enum):
    """How a fact about the API is known."""

    DOCUMENTED = "documented by the vendor"
    INFERRED = "inferred, never seen on the wire"


@frozen
class Route:
    """A method and a path template."""

    method: str
    template: str
    mark: Provenance = Provenance.DOCUMENTED

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def path(self, **parts: str) -> str:
        """The template filled in; each part is percent-encoded whole, so none can leave its segment.

        Ids are opaque (documented). Raises `InvalidRequest` for what no server could have given.
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
RAW_DATA = Route("GET", "/analysis/{analysis_id}/results/raw_data", Provenance.INFERRED)
LIST_ANALYSES = Route("GET", "/analysis")
LIST_SUBJECT_ANALYSES = Route("GET", "/analysis/subjects/{subject_id}")
CREATE_SUBJECT = Route("POST", "/subjects")
LIST_SUBJECTS = Route("GET", "/subjects")
GET_SUBJECT = Route("GET", "/subjects/{subject_id}")
UPDATE_SUBJECT = Route("PUT", "/subjects/{subject_id}")
DELETE_SUBJECT = Route("POST", "/subjects/{subject_id}/delete", Provenance.INFERRED)
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
