"""What the emulator does, and whether the vendor documents it or the emulator assumes it.

Invariant: pure, and every assumption of the emulator has an entry here.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

__all__ = ["BEHAVIORS", "Behavior"]


@frozen
class Behavior:
    """One behavior of the emulator."""

    topic: str
    """The call, or the part of a response."""

    source: Literal["documented", "assumed"]
    """`documented` by the vendor, or `assumed` by the emulator."""

    description: str


def _documented(topic: str, description: str) -> Behavior:
    return Behavior(topic, "documented", description)


def _assumed(topic: str, description: str) -> Behavior:
    return Behavior(topic, "assumed", description)


BEHAVIORS: tuple[Behavior, ...] = (
    _documented("key", "`apiKey` in the query of every request; a missing key is a 401, a wrong or rotated one a 403."),
    _assumed("key", "It is checked before the body. An unknown path is a 404 and a wrong method a 405 without it."),
    _documented("start", "202 with `message` and `video_id`; one credit is taken at once."),
    _documented("start", "402 `insufficient_credits` without credits, 404 for an unknown or deleted subject."),
    _documented("start", "413 `file_too_large` above 30 MB, 400 `invalid_file_type` by extension, 400 above 10 s."),
    _assumed("start", "30 MB are 30,000,000 bytes, counted as they arrive (`EmulatorSettings.max_upload_bytes`)."),
    _assumed("start", "The length is that of an MP4 or MOV header in the first 64 KiB, or given by the settings."),
    _assumed("start", "Form fields are checked first, then the video, subject and credits; no error charges."),
    _assumed("start", "A bad pace, or none on a treadmill, is a 400; other bad or missing fields are a 422."),
    _assumed("start", "422 has a list in `detail`, in FastAPI's form."),
    _assumed("start", "A height above 3 is taken for centimeters and rejected with 422."),
    _assumed("start", "Unknown form fields are ignored; orientation, codec and picture size are not checked."),
    _documented("start", "Deliveries need `notify_via_webhook` and an enabled webhook at the start of the analysis."),
    _assumed("start", "`notify_via_webhook` is accepted without a webhook, and then nothing is delivered."),
    _assumed("start", "Two starts of the same clip are two analyses and two credits."),
    _documented("results", "`pending` 200, `analyzing` 202, `success` 200, `failed` 400 with `video_id` and `status`."),
    _documented("results", "Most analyses take 10 to 30 s; an unknown analysis is a 404."),
    _assumed("results", "Every analysis is `pending` for a second or more; 8 run at once and the others wait."),
    _assumed("results", "`percentage` is 0 while pending, stays the same for a while, and is 100 only at `success`."),
    _assumed("results", "Duration, failure and numbers depend on a clip's bytes only."),
    _assumed("credits", "A failed analysis is not refunded (`EmulatorSettings.refund_failed_analyses`)."),
    _assumed("credits", "A rejected upload costs nothing (`EmulatorSettings.charge_refused_uploads`)."),
    _assumed("credits", "A rejected upload creates no analysis (`EmulatorSettings.list_refused_uploads`)."),
    _assumed("lists", "The service's clock is that of the client (`EmulatorSettings.clock_offset`)."),
    _documented("signed URLs", "The URLs of `thumbnail` and `output_video` expire after one hour."),
    _assumed("signed URLs", "Every request for results makes fresh ones; an expired or altered one is a 403."),
    _assumed("signed URLs", "An additional query parameter, such as the key, makes one invalid; ranges are served."),
    _assumed("signed URLs", "The thumbnail is a drawing; the video only looks like an MP4."),
    _documented("calculated and raw data", "400 before `success`."),
    _assumed("raw data", "The path is `/analysis/{analysis_id}/results/raw_data`, by analogy."),
    _assumed("lists", '`{"analyses": [...]}`, newest first, without paging and lag (`EmulatorSettings.listing_lag`).'),
    _assumed("lists", "Items of `GET /analysis`: `video_id`, `status`, `analysis_type`, `created_at`."),
    _documented("lists", "An item has a `subject_id` when linked; a subject's list contains ids."),
    _assumed("lists", "A subject's list has bare ids; that of a deleted subject is a 404."),
    _documented("subjects", "Create 201 with id and time; list and get omit deleted ones; update returns a message."),
    _assumed("subjects", "Deleting is `POST /subjects/{subject_id}/delete`; null in an update clears a field."),
    _assumed("subjects", "Missing fields of a profile are null; the analyses of a deleted subject stay."),
    _documented("webhook", "One per account, `{}` when none is stored; https only, both fields sent."),
    _assumed("webhook", "An invalid setting is a 422."),
    _documented("webhook", "`enabled: false` stops all deliveries."),
    _assumed("webhook", "Deliveries go to the URL stored when they are sent; what is due while disabled is lost."),
    _documented("deliveries", "POST of JSON: event, status, percentage, `sequence` (rising per analysis), timestamp."),
    _documented("deliveries", "From queued to running, through milestones, to success or failure; `analysis.started`."),
    _documented("deliveries", "The dashboard can send a test event; it shows HTTP status and latency of the answer."),
    _assumed("deliveries", "Other keys and events, an envelope, and the words of the status (`DeliveryShapes`)."),
    _assumed("deliveries", "No signature; so anybody can forge them (`DeliverySettings.forgeries_per_second`)."),
    _assumed("deliveries", "Milestones at 25, 50 and 75 % (`DeliverySettings.milestones`), as polls show them."),
    _assumed("deliveries", "Sent 0.1 to 1 s after an update, in order (`DeliverySettings.latency_seconds`)."),
    _assumed("deliveries", "`sequence` begins at 1; the percentage of a failure is that of the last milestone."),
    _assumed("deliveries", "Without a 2xx in 10 s, repeated after 1, 5 and 30 s (`DeliverySettings.retry_seconds`)."),
    _assumed("deliveries", "None is lost, doubled or late (`loss_rate`, `duplicate_rate`, `shuffle_rate`)."),
    _assumed("deliveries", "Redirects are not followed."),
    _assumed("deliveries", "A test event has the form of an update and names an analysis that does not exist."),
    _assumed("deliveries", "The emulator delivers to this machine only."),
    _documented("exercises", "A bare array; an unknown language falls back to English."),
    # Parts of responses, by path.
    _assumed("results.running_styles", "one object, not a list; `percentage` is an integer 0-100"),
    _assumed("results.*.texts.search_key", "the part's name + G (good), O (okay) or B (bad), in the back view as well"),
    _assumed("results.foot", "scored by the overstride angle; the pattern is that of the mean foot strike angle"),
    _assumed("results.back_view, full_body=false", "the other two parts are absent, not null"),
    _assumed("results.back_view.range_*", "one pair each, degrees, adjacent from good to bad"),
    _assumed("results.back_view.texts.side", "`left` or `right` in every language"),
    _assumed("calculated.metrics.duty_factor", "this key; 0-1, contact time divided by stride time"),
    _assumed("calculated.metrics.pace_min_per_km", "M.SSs with the tenth rounded up, as in the vendor's sample"),
    _assumed("calculated.overstride", "shank against the vertical at touchdown, mean of both legs; good, okay or bad"),
    _assumed("calculated.foot_landing", "a list of {step, side, landing}, left first"),
    _assumed("calculated.joint_angles", "joint -> side -> {min, max, mean} of the inner angle in the sagittal plane"),
    _assumed("calculated.gait_cycle", "side -> {stance_mean: {part: degrees}, steps: [{step, part: degrees}]}"),
    _assumed("calculated.gait_cycle, signs", "positive = foot rolled inwards, knee inwards, swing-side hip lower"),
    _assumed("raw_data.video_input_information", "{width, height, fps, duration (s), frame_count}"),
    _assumed("raw_data.frames", "keys from 0 without gaps; every landmark in every frame, by MediaPipe's names"),
    _assumed("raw_data.frames.*", "{x, y, z, score}; pixels from the top left corner, z grows away from the camera"),
    _assumed("raw_data, direction", "side view: to the right, in the middle of the picture; back view: away"),
    _assumed("exercises", "none twice; unknown keys are skipped; `repetition` has `number_of_reps`, no effort_per_rep"),
)
"""All behaviors, for documentation and for `ochy emulator --behaviors`."""
