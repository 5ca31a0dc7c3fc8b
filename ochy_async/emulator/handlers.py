"""One desk for each call of the API: what is asked of the account, and how the answer looks.

Invariant: pure; a desk is a function and the table at the end is the whole API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from . import error_responses
from . import exercises as training
from .analysis import timestamp
from .error_responses import HttpError, json_response
from .file_store import CONTENT_TYPES
from .response_shapes import shape_list
from .validation import exercise_search, start_parameters, subject_profile, video_error, webhook_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .account import Account
    from .messages import ServiceRequest, ServiceResponse

__all__ = ["HANDLERS", "STORAGE", "RequestContext"]


@frozen
class RequestContext:
    """One request at a desk."""

    account: Account
    request: ServiceRequest
    path_parameters: Mapping[str, str] = field(repr=False)
    """What fills the template of the path, decoded."""
    now: float


def start(context: RequestContext) -> ServiceResponse:
    """Judges everything before the credit is taken."""
    account, order = context.account, start_parameters(context.request.form)
    refused = video_error(order.video, account.world)
    if refused is not None:
        account.refuse(order, context.now)
        raise refused
    if order.subject_id is not None:
        account.subject(order.subject_id)
    analysis_id = account.accept(order, context.now).analysis_id
    return json_response(202, {"message": "Analysis started successfully", account.world.shapes.id_key: analysis_id})


def results(context: RequestContext) -> ServiceResponse:
    """The state, and on success fresh signed URLs and the analysis."""
    account, shapes = context.account, context.account.world.shapes
    analysis = account.analysis(context.path_parameters["analysis_id"])
    status, body = analysis.state(context.now, shapes)
    if analysis.succeeded(context.now):
        for key, name in (("thumbnail", "thumbnail.jpg"), ("output_video", "output_video.mp4")):
            body[key] = account.storage.url(account.storage_url, analysis.analysis_id, name, context.now)
        body["biomechanical_analysis"] = analysis.results(shapes)
    return json_response(status, body)


def calculated_data(context: RequestContext) -> ServiceResponse:
    """The calculated data of a successful analysis."""
    analysis = context.account.analysis(context.path_parameters["analysis_id"])
    if not analysis.succeeded(context.now):
        raise error_responses.not_ready()
    return json_response(200, analysis.calculated(context.account.world.shapes))


def raw_data(context: RequestContext) -> ServiceResponse:
    """The raw data of a successful analysis."""
    world, analysis = context.account.world, context.account.analysis(context.path_parameters["analysis_id"])
    if not analysis.succeeded(context.now):
        raise error_responses.not_ready()
    raw = analysis.raw(world.shapes, frames_per_second=world.frames_per_second, seconds=world.default_video_seconds)
    return json_response(200, raw)


def list_analyses(context: RequestContext) -> ServiceResponse:
    """All analyses of the account."""
    shapes = context.account.world.shapes
    items = [it.listed(context.now, shapes) for it in context.account.listable(context.now)]
    return json_response(200, shape_list(shapes, items, shapes.items))


def list_of_subject(context: RequestContext) -> ServiceResponse:
    """The analyses linked to one subject."""
    shapes, subject_id = context.account.world.shapes, context.path_parameters["subject_id"]
    context.account.subject(subject_id)
    linked = [it for it in context.account.listable(context.now) if it.order.subject_id == subject_id]
    return json_response(
        200, shape_list(shapes, [it.listed(context.now, shapes) for it in linked], shapes.subject_items)
    )


def create_subject(context: RequestContext) -> ServiceResponse:
    """Answers with id and time only."""
    subject = context.account.create_subject(subject_profile(context.request.body), context.now)
    return json_response(201, {"subject_id": subject["id"], "created_at": subject["created_at"]})


def list_subjects(context: RequestContext) -> ServiceResponse:
    """All that are not deleted."""
    return json_response(200, {"subjects": list(context.account.subjects.values())})


def get_subject(context: RequestContext) -> ServiceResponse:
    """The bare profile."""
    return json_response(200, context.account.subject(context.path_parameters["subject_id"]))


def update_subject(context: RequestContext) -> ServiceResponse:
    """Changes what is given, leaves the rest."""
    context.account.subject(context.path_parameters["subject_id"]).update(subject_profile(context.request.body))
    return json_response(200, {"message": "Subject updated successfully"})


def delete_subject(context: RequestContext) -> ServiceResponse:
    """Soft: the analyses linked to it stay."""
    context.account.subject(context.path_parameters["subject_id"])
    del context.account.subjects[context.path_parameters["subject_id"]]
    return json_response(200, {"message": "Subject deleted successfully"})


def get_webhook(context: RequestContext) -> ServiceResponse:
    """`{}` when none is stored."""
    return json_response(200, context.account.webhook)


def put_webhook(context: RequestContext) -> ServiceResponse:
    """Replaces the one webhook of the account."""
    context.account.webhook = {**webhook_settings(context.request.body), "updated_at": timestamp(context.now)}
    return json_response(200, context.account.webhook)


def exercises(context: RequestContext) -> ServiceResponse:
    """A bare array."""
    keys, language = exercise_search(context.request.body)
    return json_response(200, training.exercises(keys, language=language))


def stored(context: RequestContext) -> ServiceResponse:
    """A file behind a signed URL; no key is needed or wanted."""
    account, analysis_id, name = (
        context.account,
        context.path_parameters["analysis_id"],
        context.path_parameters["name"],
    )
    if name not in CONTENT_TYPES:
        raise HttpError(404, "NoSuchKey")
    account.storage.check(analysis_id, name, context.request.query, context.now)
    video = account.analysis(analysis_id).order.video
    headers = context.request.headers
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
