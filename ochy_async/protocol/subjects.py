"""Subjects: the runners that analyses can be linked to.

Invariant: omitted means unchanged, and deleting is soft.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from attrs import field

from ..errors import InvalidRequest, Problem
from .answer import Answer, answer, key
from .call import Call, call
from .request import HEIGHT_METERS, WEIGHT_KG, is_text, measure
from .routes import CREATE_SUBJECT, DELETE_SUBJECT, GET_SUBJECT, LIST_SUBJECTS, UPDATE_SUBJECT
from .text_summary import listed, moment, number, shown

__all__ = [
    "CreatedSubject",
    "Message",
    "Subject",
    "SubjectList",
    "create_subject_call",
    "delete_subject_call",
    "get_subject_call",
    "list_subjects_call",
    "update_subject_call",
]


@answer
class Subject(Answer):
    """A subject. Source: documented; everything but the id is optional."""

    subject_id: str = field(metadata=key("id", "subject_id"))
    email: str | None = None
    name: str | None = None
    height: float | None = None
    """m."""
    weight: float | None = None
    """kg."""
    created_at: datetime | None = None
    """UTC."""

    def _summary(self) -> Iterator[str]:
        yield f"subject {shown(self.subject_id)}: {shown(self.name, 32)}"
        yield f"  height {number(self.height, 'm', 2)}, weight {number(self.weight, 'kg', 1)}"
        yield f"  email {shown(self.email)}, created {moment(self.created_at)}"


@answer
class CreatedSubject(Answer):
    """What the server says of a new subject. Source: documented."""

    subject_id: str = field(metadata=key("subject_id", "id"))
    created_at: datetime | None = None
    """UTC."""

    def _summary(self) -> Iterator[str]:
        yield f"subject {shown(self.subject_id)}, created {moment(self.created_at)}"


@answer
class SubjectList(Answer):
    """All subjects but the deleted ones. Source: documented."""

    subjects: tuple[Subject, ...]

    def __iter__(self) -> Iterator[Subject]:
        return iter(self.subjects)

    def __len__(self) -> int:
        return len(self.subjects)

    def _summary(self) -> Iterator[str]:
        return listed("subjects", self.subjects)


@answer
class Message(Answer):
    """What the server says of a change. Source: documented."""

    message: str | None = None

    def _summary(self) -> Iterator[str]:
        yield shown(self.message, 80)


def create_subject_call(
    *, email: str | None, name: str | None, height: float | None, weight: float | None
) -> Call[CreatedSubject]:
    """A new subject. Not repeatable: each call makes one more."""
    body = _body("create_subject", email=email, name=name, height=height, weight=weight)
    return call(CREATE_SUBJECT, CreatedSubject, json=body)


def list_subjects_call() -> Call[SubjectList]:
    """All subjects."""
    return call(LIST_SUBJECTS, SubjectList)


def get_subject_call(subject_id: str) -> Call[Subject]:
    """One subject."""
    return call(GET_SUBJECT, Subject, subject_id=subject_id)


def update_subject_call(
    subject_id: str, *, email: str | None, name: str | None, height: float | None, weight: float | None
) -> Call[Message]:
    """Changes what is given and leaves the rest. Repeatable: the same change twice is one change."""
    body = _body("update_subject", email=email, name=name, height=height, weight=weight)
    return call(UPDATE_SUBJECT, Message, json=body, subject_id=subject_id)


def delete_subject_call(subject_id: str) -> Call[Message]:
    """Deletes softly. Not repeatable: the second time the subject is not found."""
    return call(DELETE_SUBJECT, Message, json={}, subject_id=subject_id)


def _body(what: str, **given: Any) -> dict[str, Any]:
    problems = tuple(_problems(given))
    if problems:
        raise InvalidRequest.of(what, problems)
    return {name: value for name, value in given.items() if value is not None}


def _problems(given: dict[str, Any]) -> Iterator[Problem]:
    for name in ("email", "name"):
        if given[name] is not None and not is_text(given[name]):
            yield Problem(name, "must be a non-empty text or left out")
    if given["height"] is not None:
        yield from measure("height", given["height"], HEIGHT_METERS, "meters", 100, "centimeters")
    if given["weight"] is not None:
        yield from measure("weight", given["weight"], WEIGHT_KG, "kilograms", 1000, "grams")
