"""One desk for each call of the API: what is asked of the account, and how the answer looks.

Invariant: pure; a desk is a function and the table at the end is the whole API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from . import error_answers
from . import exercises as training
from .analysis import moment
from .error_answers import Refusal, json_answer
from .response_shapes import listed
from .storage import KINDS
from .validation import judged_video, order_of, profile_of, search_of, webhook_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .account import Account
    from .values import ServiceRequest, ServiceResponse

__all__ = ["HANDLERS", "STORAGE", "RequestContext"]


@frozen
class RequestContext:
    """One request at a desk."""

    account: Account
    ask: ServiceRequest
    parts: Mapping[str, str] = field(repr=False)
    """What fills the template of the path, decoded."""
    now: float


def start(case: RequestContext) -> ServiceResponse:
    """Judges everything before the credit is taken."""
    account, order = case.account, order_of(case.ask.form)
    refused = judged_video(order.video, account.world)
    if refused is not None:
        account.refuse(order, case.now)
        raise refused
    if order.subject_id is not None:
        account.subject(order.subject_id)
    analysis_id = account.accept(order, case.now).analysis_id
    return json_answer(202, {"message": "Analysis started successfully", account.world.shapes.id_key: analysis_id})


def results(case: RequestContext) -> ServiceResponse:
    """The state, and on success fresh signed URLs and the analysis."""
    account, shapes = case.account, case.account.world.shapes
    analysis = account.analysis(case.parts["analysis_id"])
    status, body = analysis.state(case.now, shapes)
    if analysis.succeeded(case.now):
        for key, name in (("thumbnail", "thumbnail.jpg"), ("output_video", "output_video.mp4")):
            body[key] = account.storage.url(account.storage_url, analysis.analysis_id, name, case.now)
        body["biomechanical_analysis"] = analysis.results(shapes)
    return json_answer(status, body)


def calculated_data(case: RequestContext) -> ServiceResponse:
    """The calculated data of a successful analysis."""
    analysis = case.account.analysis(case.parts["analysis_id"])
    if not analysis.succeeded(case.now):
        raise error_answers.not_ready()
    return json_answer(200, analysis.calculated(case.account.world.shapes))


def raw_data(case: RequestContext) -> ServiceResponse:
    """The raw data of a successful analysis."""
    world, analysis = case.account.world, case.account.analysis(case.parts["analysis_id"])
    if not analysis.succeeded(case.now):
        raise error_answers.not_ready()
    raw = analysis.raw(world.shapes, frames_per_second=world.frames_per_second, seconds=world.seconds)
    return json_answer(200, raw)


def list_analyses(case: RequestContext) -> ServiceResponse:
    """All analyses of the account."""
    shapes = case.account.world.shapes
    items = [it.listed(case.now, shapes) for it in case.account.listable(case.now)]
    return json_answer(200, listed(shapes, items, shapes.items))


def list_of_subject(case: RequestContext) -> ServiceResponse:
    """The analyses linked to one subject."""
    shapes, subject_id = case.account.world.shapes, case.parts["subject_id"]
    case.account.subject(subject_id)
    linked = [it for it in case.account.listable(case.now) if it.order.subject_id == subject_id]
    return json_answer(200, listed(shapes, [it.listed(case.now, shapes) for it in linked], shapes.subject_items))


def create_subject(case: RequestContext) -> ServiceResponse:
    """Answers with id and time only."""
    subject = case.account.create_subject(profile_of(case.ask.body), case.now)
    return json_answer(201, {"subject_id": subject["id"], "created_at": subject["created_at"]})


def list_subjects(case: RequestContext) -> ServiceResponse:
    """All that are not deleted."""
    return json_answer(200, {"subjects": list(case.account.subjects.values())})


def get_subject(case: RequestContext) -> ServiceResponse:
    """The bare profile."""
    return json_answer(200, case.account.subject(case.parts["subject_id"]))


def update_subject(case: RequestContext) -> ServiceResponse:
    """Changes what is given, leaves the rest."""
    case.account.subject(case.parts["subject_id"]).update(profile_of(case.ask.body))
    return json_answer(200, {"message": "Subject updated successfully"})


def delete_subject(case: RequestContext) -> ServiceResponse:
    """Soft: the analyses linked to it stay."""
    case.account.subject(case.parts["subject_id"])
    del case.account.subjects[case.parts["subject_id"]]
    return json_answer(200, {"message": "Subject deleted successfully"})


def get_webhook(case: RequestContext) -> ServiceResponse:
    """`{}` when none is stored."""
    return json_answer(200, case.account.webhook)


def put_webhook(case: RequestContext) -> ServiceResponse:
    """Replaces the one webhook of the account."""
    case.account.webhook = {**webhook_of(case.ask.body), "updated_at": moment(case.now)}
    return json_answer(200, case.account.webhook)


def exercises(case: RequestContext) -> ServiceResponse:
    """A bare array."""
    keys, language = search_of(case.ask.body)
    return json_answer(200, training.exercises(keys, language=language))


def stored(case: RequestContext) -> ServiceResponse:
    """A file behind a signed URL; no key is needed or wanted."""
    account, analysis_id, name = case.account, case.parts["analysis_id"], case.parts["name"]
    if name not in KINDS:
        raise Refusal(404, "NoSuchKey")
    account.storage.check(analysis_id, name, case.ask.query, case.now)
    video = account.analysis(analysis_id).order.video
    headers = case.ask.headers
    return account.storage.serve(video.sha256, name, headers.get("range"), headers.get("if-range"))


STORAGE = "/storage/{analysis_id}/{name}"

HANDLERS: Mapping[tuple[str, str], Callable[[RequestContext], ServiceResponse]] = {
    ("POST", "/analysis/start"): start,
    ("GET", "/analysis/{analysis_id}/results"): results,
    ("GET", "/analysis/{analysis_id}/results/calculated_data"): calculated_data,
    ("GET", "/analysis/{analysis_id}/results/raw_data"): raw_data,
    ("GET", "/analysis"): list_analyses,
    ("GET", "/analysis/user"): list_analyses,
    ("GET", "/analysis/subjects/{subject_id}"): list_of_subject,
    ("POST", "/subjects"): create_subject,
    ("GET", "/subjects"): list_subjects,
    ("GET", "/subjects/{subject_id}"): get_subject,
    ("PUT", "/subjects/{subject_id}"): update_subject,
    ("POST", "/subjects/{subject_id}/delete"): delete_subject,
    ("GET", "/webhook"): get_webhook,
    ("PUT", "/webhook"): put_webhook,
    ("POST", "/exercises"): exercises,
    ("GET", STORAGE): stored,
}
