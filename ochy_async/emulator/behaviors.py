"""What the emulator does, and how it is known: from the vendor's documentation, or assumed.

Invariant: pure, and every guess that the emulator makes has its line here.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

__all__ = ["BEHAVIORS", "Behavior"]


@frozen
class Behavior:
    """One line of the table."""

    what: str
    """The call or the part of an answer."""

    mark: Literal["documented", "assumed"]
    """By whom it is said: the vendor, or only the emulator."""

    sentence: str


def _documented(what: str, sentence: str) -> Behavior:
    return Behavior(what, "documented", sentence)


def _assumed(what: str, sentence: str) -> Behavior:
    return Behavior(what, "assumed", sentence)


BEHAVIORS: tuple[Behavior, ...] = (
    _documented("key", "`apiKey` in the query of every request; none is a 401, a wrong or rotated one a 403."),
    _assumed("key", "It is looked at before the body; an unknown path is a 404 and a wrong method a 405 without it."),
    _documented("start", "202 with `message` and `video_id`; one credit is taken at once."),
    _documented("start", "402 `insufficient_credits` without credits, 404 for an unknown or deleted subject."),
    _documented("start", "413 `file_too_large` above 30 MB, 400 `invalid_file_type` by extension, 400 above 10 s."),
    _assumed("start", "30 MB are 30,000,000 bytes, counted as they arrive (`EmulatorSettings.max_upload_bytes`)."),
    _assumed("start", "The length is read from an MP4 or MOV header within the first 64 KiB, or told by the settings."),
    _assumed("start", "Form fields are judged first, then the video, the subject and the credits; no refusal charges."),
    _assumed("start", "A bad pace, or none on a treadmill, is a 400; other bad or missing fields are a 422."),
    _assumed("start", "422 has a list in `detail`, as FastAPI words it."),
    _assumed("start", "A height above 3 is taken for centimeters and refused with 422."),
    _assumed("start", "Unknown form fields are ignored; orientation, codec and picture size are not looked at."),
    _assumed("start", "`notify_via_webhook` is taken with or without a webhook, and nothing is delivered."),
    _assumed("start", "Two starts of the same clip are two analyses and two credits."),
    _documented("results", "`pending` 200, `analyzing` 202, `success` 200, `failed` 400 with `video_id` and `status`."),
    _documented("results", "Most analyses take 10 to 30 s; an unknown analysis is a 404."),
    _assumed("results", "Every analysis is `pending` for a second or more; 8 run at once and the rest queue."),
    _assumed("results", "`percentage` is there from 0 while pending, sticks on its way, and is 100 at `success` only."),
    _assumed("results", "A clip's duration, failure and numbers follow from its bytes: the same clip ends the same."),
    _assumed("credits", "A failed analysis keeps its credit (`EmulatorSettings.refund_failed_analyses`)."),
    _assumed("credits", "A refused upload costs nothing (`EmulatorSettings.charge_refused_uploads`)."),
    _assumed("credits", "Nor does it leave an analysis behind (`EmulatorSettings.list_refused_uploads`)."),
    _assumed("lists", "The service's clock is that of whoever asks (`World.clock_offset`)."),
    _documented("signed URLs", "`thumbnail` and `output_video` are dead after one hour."),
    _assumed("signed URLs", "Asking for results again gives fresh ones; a dead or altered one is a 403."),
    _assumed("signed URLs", "A query parameter more, such as the key, spoils the signature; ranges are served."),
    _assumed("signed URLs", "What they lead to only looks like a JPEG and an MP4."),
    _documented("calculated and raw data", "400 before `success`."),
    _assumed("raw data", "The path is `/analysis/{analysis_id}/results/raw_data`, by analogy."),
    _assumed("lists", '`{"analyses": [...]}`, newest first, without paging and without lag (`World.listing_lag`).'),
    _assumed("lists", "Items of `GET /analysis`: `video_id`, `status`, `analysis_type`, `created_at`."),
    _documented("lists", "`subject_id` is in an item when linked; a subject's list tells ids."),
    _assumed("lists", "A subject's list has bare ids; that of a deleted subject is a 404."),
    _documented("subjects", "Create 201 with id and time; list and get without the deleted; update answers a message."),
    _assumed("subjects", "Deleting is `POST /subjects/{subject_id}/delete`; null in an update clears a field."),
    _assumed("subjects", "What a profile does not have is null; analyses of a deleted subject stay."),
    _documented("webhook", "One per account, `{}` when none is stored; https only, both fields sent."),
    _assumed("webhook", "A bad setting is a 422."),
    _documented("exercises", "A bare array; an unknown language falls back to English."),
    # Within answers, by path.
    _assumed("results.running_styles", "one object, not a list; `percentage` is a whole number 0-100"),
    _assumed("results.*.texts.search_key", "the part's name + G (good), O (okay) or B (bad), in the back view as well"),
    _assumed("results.foot", "scored by the overstride angle; the pattern is that of the mean foot strike angle"),
    _assumed("results.back_view, full_body=false", "the other two parts are absent, not null"),
    _assumed("results.back_view.range_*", "one pair each, degrees, side by side from good to bad"),
    _assumed("results.back_view.texts.side", "`left` or `right` in every language"),
    _assumed("calculated.metrics.duty_factor", "this key; 0-1, contact time over the time of a stride"),
    _assumed("calculated.metrics.pace_min_per_km", "M.SSs with the tenth rounded up, which is what the sample shows"),
    _assumed("calculated.overstride", "shin against the vertical at touchdown, mean of both legs; good, okay or bad"),
    _assumed("calculated.foot_landing", "a list of {step, side, landing}, left first"),
    _assumed(
        "calculated.joint_angles",
        "joint -> side -> {min, max, mean} of the inner angle in the sagittal plane; 180 = straight",
    ),
    _assumed("calculated.gait_cycle", "side -> {stance_mean: {part: degrees}, steps: [{step, part: degrees}]}"),
    _assumed("calculated.gait_cycle, signs", "positive = foot rolling inwards, knee inwards, free hip lower"),
    _assumed("raw_data.video_input_information", "{width, height, fps, duration (s), frame_count}"),
    _assumed("raw_data.frames", "keys from 0 without gaps; every landmark in every frame, by MediaPipe's names"),
    _assumed("raw_data.frames.*", "{x, y, z, score}; pixels from the top left corner, z grows away from the camera"),
    _assumed(
        "raw_data, direction", "side view: towards the right, kept in the middle; back view: away from the camera"
    ),
    _assumed(
        "exercises", "no exercise twice; unknown keys skipped; `repetition` has `number_of_reps`, no effort_per_rep"
    ),
)
"""Everything there is to know, for documentation and for `ochy emulator` to print."""
