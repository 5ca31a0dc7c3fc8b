"""One handler for each endpoint of the API, and the table of all endpoints.

Invariant: pure. A handler is a function from a request to a response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from . import error_responses
from .analysis import timestamp
from .error_responses import HttpError, json_response
from .exercises import find_exercises
from .file_store import CONTENT_TYPES
from .response_shapes import ItemKind, ResponseShapes, shape_list
from .validation import exercise_search, start_parameters, subject_profile, video_error, webhook_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .account import Account
    from .analysis import Analysis
    from .messages import ServiceRequest, ServiceResponse

__all__ = ["HANDLERS", "STORAGE", "RequestContext"]


@frozen
class RequestContext:
    """What a handler gets: the request, the time and the account."""

    account: Account
    request: ServiceRequest
    path_parameters: Mapping[str, str] = field(repr=False)
    """What the placeholders of the path stand for, decoded."""
    now: float

    @property
    def shapes(self) -> ResponseShapes:
        """The shapes of responses."""
        return self.account.settings.shapes

    @property
    def subject_id(self) -> str:
        """The subject in the path."""
        return self.path_parameters["subject_id"]

    def analysis(self) -> Analysis:
        """The analysis in the path; an unknown one is a 404."""
        return self.account.analysis(self.path_parameters["analysis_id"])

    def successful_analysis(self) -> Analysis:
        """The analysis in the path; a 400 before `success`."""
        analysis = self.analysis()
        if not analysis.succeeded(self.now):
            raise error_responses.not_ready()
        return analysis


def start(context: RequestContext) -> ServiceResponse:
    """Validates everything before the credit is taken."""
    account, parameters = context.account, start_parameters(context.request.form)
    error = video_error(parameters.video, account.settings)
    if error is not None:
        account.record_rejected_upload(parameters, context.now)
        raise error
    if parameters.subject_id is not None:
        account.subject(parameters.subject_id)
    analysis_id = account.start(parameters, context.now).analysis_id
    return json_response(202, {"message": "Analysis started successfully", context.shapes.id_key: analysis_id})


def results(context: RequestContext) -> ServiceResponse:
    """The state, and on success fresh signed URLs and the analysis."""
    analysis, files = context.analysis(), context.account.files
    status, body = analysis.state(context.now)
    if analysis.succeeded(context.now):
        for key, name in (("thumbnail", "thumbnail.jpg"), ("output_video", "output_video.mp4")):
            body[key] = files.url(analysis.analysis_id, name, context.now)
        body["biomechanical_analysis"] = analysis.results()
    return json_response(status, body)


def calculated_data(context: RequestContext) -> ServiceResponse:
    """The calculated data of a successful analysis."""
    return json_response(200, context.successful_analysis().calculated_data())


def raw_data(context: RequestContext) -> ServiceResponse:
    """The raw data of a successful analysis."""
    return json_response(200, context.successful_analysis().raw_data())


def list_analyses(context: RequestContext) -> ServiceResponse:
    """All analyses of the account."""
    return _analysis_list(context, context.account.listed_analyses(context.now), context.shapes.items)


def list_subject_analyses(context: RequestContext) -> ServiceResponse:
    """The analyses linked to one subject."""
    account, subject_id = context.account, context.subject_id
    account.subject(subject_id)
    linked = (each for each in account.listed_analyses(context.now) if each.parameters.subject_id == subject_id)
    return _analysis_list(context, linked, context.shapes.subject_items)


def _analysis_list(context: RequestContext, analyses: Iterable[Analysis], kind: ItemKind) -> ServiceResponse:
    items = [analysis.list_item(context.now) for analysis in analyses]
    return json_response(200, shape_list(context.shapes, items, kind))


def create_subject(context: RequestContext) -> ServiceResponse:
    """The response has id and time only."""
    subject = context.account.create_subject(subject_profile(context.request.body), context.now)
    return json_response(201, {"subject_id": subject["id"], "created_at": subject["created_at"]})


def list_subjects(context: RequestContext) -> ServiceResponse:
    """All subjects that are not deleted."""
    return json_response(200, {"subjects": list(context.account.subjects.values())})


def get_subject(context: RequestContext) -> ServiceResponse:
    """The bare profile."""
    return json_response(200, context.account.subject(context.subject_id))


def update_subject(context: RequestContext) -> ServiceResponse:
    """Changes the fields in the body and leaves the others."""
    context.account.subject(context.subject_id).update(subject_profile(context.request.body))
    return json_response(200, {"message": "Subject updated successfully"})


def delete_subject(context: RequestContext) -> ServiceResponse:
    """A soft delete: the analyses linked to the subject stay."""
    context.account.subject(context.subject_id)
    del context.account.subjects[context.subject_id]
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
    search_keys, language = exercise_search(context.request.body)
    return json_response(200, find_exercises(search_keys, language=language))


def stored_file(context: RequestContext) -> ServiceResponse:
    """A file behind a signed URL, without the API key."""
    files, name, request = context.account.files, context.path_parameters["name"], context.request
    if name not in CONTENT_TYPES:
        raise HttpError(404, "NoSuchKey")
    files.check(context.path_parameters["analysis_id"], name, request.query, context.now)
    sha256 = context.analysis().parameters.video.sha256
    return files.serve(sha256, name, request.headers.get("range"), request.headers.get("if-range"))


STORAGE = "/storage/{analysis_id}/{name}"

HANDLERS: Mapping[tuple[str, str], Callable[[RequestContext], ServiceResponse]] = {
    ("POST", "/analysis/start"): start,
    ("GET", "/analysis/{analysis_id}/results"): results,
    ("GET", "/analysis/{analysis_id}/results/calculated_data"): calculated_data,
    ("GET", "/analysis/{analysis_id}/results/raw_data"): raw_data,
    ("GET", "/analysis"): list_analyses,
    ("GET", "/analysis/user"): list_analyses,
    ("GET", "/analysis/subjects/{subject_id}"): list_subject_analyses,
    ("POST", "/subjects"): create_subject,
    ("GET", "/subjects"): list_subjects,
    ("GET", "/subjects/{subject_id}"): get_subject,
    ("PUT", "/subjects/{subject_id}"): update_subject,
    ("POST", "/subjects/{subject_id}/delete"): delete_subject,
    ("GET", "/webhook"): get_webhook,
    ("PUT", "/webhook"): put_webhook,
    ("POST", "/exercises"): exercises,
    ("GET", STORAGE): stored_file,
}
