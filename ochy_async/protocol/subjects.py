"""Subjects: the runners to whom analyses can be linked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from attrs import field

from ..errors import InvalidRequest, Problem
from .answer import Answer, answer_class, json_keys
from .call import Call, call_for
from .request import HEIGHT_METERS, WEIGHT_KG, is_text, quantity_problems
from .routes import CREATE_SUBJECT, DELETE_SUBJECT, GET_SUBJECT, LIST_SUBJECTS, UPDATE_SUBJECT
from .text_summary import display_text, format_number, format_time, list_summary

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


@answer_class
class Subject(Answer):
    """A subject. Source: documented; everything but the id is optional."""

    subject_id: str = field(metadata=json_keys("id", "subject_id"))
    email: str | None = None
    name: str | None = None
    height: float | None = None
    """m."""
    weight: float | None = None
    """kg."""
    created_at: datetime | None = None
    """UTC."""

    def _summary(self) -> Iterator[str]:
        yield f"subject {display_text(self.subject_id)}: {display_text(self.name, 32)}"
        yield f"  height {format_number(self.height, 'm', 2)}, weight {format_number(self.weight, 'kg', 1)}"
        yield f"  email {display_text(self.email)}, created {format_time(self.created_at)}"


@answer_class
class CreatedSubject(Answer):
    """The answer to the creation of a subject. Source: documented."""

    subject_id: str = field(metadata=json_keys("subject_id", "id"))
    created_at: datetime | None = None
    """UTC."""

    def _summary(self) -> Iterator[str]:
        yield f"subject {display_text(self.subject_id)}, created {format_time(self.created_at)}"


@answer_class
class SubjectList(Answer):
    """All subjects except the deleted ones. Source: documented."""

    subjects: tuple[Subject, ...]

    def __iter__(self) -> Iterator[Subject]:
        return iter(self.subjects)

    def __len__(self) -> int:
        return len(self.subjects)

    def _summary(self) -> Iterator[str]:
        return list_summary("subjects", self.subjects)


@answer_class
class Message(Answer):
    """The answer to a change. Source: documented."""

    message: str | None = None

    def _summary(self) -> Iterator[str]:
        yield display_text(self.message, 80)


def create_subject_call(
    *, email: str | None, name: str | None, height: float | None, weight: float | None
) -> Call[CreatedSubject]:
    """Creates a subject. Not repeatable: each call creates another one."""
    body = _body("create_subject", email=email, name=name, height=height, weight=weight)
    return call_for(CREATE_SUBJECT, CreatedSubject, json=body)


def list_subjects_call() -> Call[SubjectList]:
    """Lists all subjects."""
    return call_for(LIST_SUBJECTS, SubjectList)


def get_subject_call(subject_id: str) -> Call[Subject]:
    """Fetches one subject."""
    return call_for(GET_SUBJECT, Subject, subject_id=subject_id)


def update_subject_call(
    subject_id: str, *, email: str | None, name: str | None, height: float | None, weight: float | None
) -> Call[Message]:
    """Changes the given fields and leaves the others (documented). Repeatable: the same change twice is one change."""
    body = _body("update_subject", email=email, name=name, height=height, weight=weight)
    return call_for(UPDATE_SUBJECT, Message, json=body, subject_id=subject_id)


def delete_subject_call(subject_id: str) -> Call[Message]:
    """Deletes a subject; the server keeps it, hidden. Not repeatable: the second time the subject is not found."""
    return call_for(DELETE_SUBJECT, Message, json={}, subject_id=subject_id)


def _body(method: str, **given: Any) -> dict[str, Any]:
    problems = tuple(_problems(given))
    if problems:
        raise InvalidRequest.of(method, problems)
    return {name: value for name, value in given.items() if value is not None}


def _problems(given: dict[str, Any]) -> Iterator[Problem]:
    for name in ("email", "name"):
        if given[name] is not None and not is_text(given[name]):
            yield Problem(name, "must be a non-empty text or left out")
    if given["height"] is not None:
        yield from quantity_problems("height", given["height"], HEIGHT_METERS, "meters", 100, "centimeters")
    if given["weight"] is not None:
        yield from quantity_problems("weight", given["weight"], WEIGHT_KG, "kilograms", 1000, "grams")
