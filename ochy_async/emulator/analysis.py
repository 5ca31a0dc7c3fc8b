"""One analysis of the emulated service, as a function of time.

Invariant: pure. When an analysis begins and ends is fixed at its start, so its state at any
moment is computed, never advanced.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from .assessments import back_view_results, side_view_results
from .biomechanics.camera import raw_data
from .biomechanics.runner import Runner, runner_of
from .calculated_data import back_view_calculated, side_view_calculated
from .response_shapes import ResponseShapes, percentage_field, shape_analysis, shape_frames, with_unrequested_joints
from .seeded_random import uniform

if TYPE_CHECKING:
    from .messages import UploadedVideo

__all__ = ["Analysis", "StartParameters", "timestamp", "video_seconds"]

HTTP_OF = {"success": 200, "failed": 400, "pending": 200, "analyzing": 202}


@frozen
class StartParameters:
    """What a start asked for, after every check."""

    video: UploadedVideo
    analysis_type: str
    height: float
    """Meters."""
    weight: float
    """Kilograms."""
    pace: str | None
    """MM:SS per kilometer."""
    language: str
    treadmill: bool
    full_body: bool
    subject_id: str | None
    notify: bool


@frozen
class Analysis:
    """An accepted start; all times in seconds since the epoch."""

    analysis_id: str
    order: StartParameters = field(repr=False)
    created_at: float
    begins_at: float
    """When it leaves the queue."""
    ends_at: float
    fails: bool

    def status(self, now: float, shapes: ResponseShapes) -> str:
        """`pending`, `analyzing`, `success`, `failed`, or the odd status that was asked for."""
        if now >= self.ends_at:
            return "failed" if self.fails else "success"
        if shapes.unknown_status is not None and now < self.created_at + shapes.unknown_status_seconds:
            return shapes.unknown_status
        return "analyzing" if now >= self.begins_at else "pending"

    def succeeded(self, now: float) -> bool:
        """Whether there are results to collect."""
        return now >= self.ends_at and not self.fails

    def failed(self, now: float) -> bool:
        """Whether it has ended without results."""
        return now >= self.ends_at and self.fails

    def state(self, now: float, shapes: ResponseShapes) -> tuple[int, dict[str, Any]]:
        """The HTTP status and the body of results, but for what only `success` has."""
        status = self.status(now, shapes)
        body: dict[str, Any] = {shapes.id_key: self.analysis_id, "status": status}
        if status == "success":
            body["percentage"] = 100
        elif status != "failed":
            fraction = (now - self.begins_at) / (self.ends_at - self.begins_at) if now >= self.begins_at else None
            body |= percentage_field(shapes, fraction, 40 + 40 * uniform("level", self.order.video.sha256))
        return HTTP_OF.get(status, 200), body

    def listed(self, now: float, shapes: ResponseShapes) -> dict[str, Any]:
        """The analysis as an item of a list; `subject_id` only when linked."""
        item: dict[str, Any] = {
            shapes.list_id_key: self.analysis_id,
            "status": self.status(now, shapes),
            "analysis_type": self.order.analysis_type,
            "created_at": timestamp(self.created_at),
        }
        return item if self.order.subject_id is None else {**item, "subject_id": self.order.subject_id}

    def results(self, shapes: ResponseShapes) -> dict[str, Any]:
        """The `biomechanical_analysis` object."""
        order, who = self.order, self._runner()
        if order.analysis_type == "side_view":
            return shape_analysis(shapes, side_view_results(who, language=order.language))
        told = back_view_results(who, language=order.language, full_body=order.full_body)
        return shape_analysis(shapes, told if order.full_body else with_unrequested_joints(shapes, told))

    def calculated(self, shapes: ResponseShapes) -> dict[str, Any]:
        """The calculated data."""
        if self.order.analysis_type == "side_view":
            return shape_analysis(shapes, side_view_calculated(self._runner()))
        return shape_analysis(shapes, back_view_calculated(self._runner(), full_body=self.order.full_body))

    def raw(self, shapes: ResponseShapes, *, frames_per_second: float, seconds: float) -> dict[str, Any]:
        """The raw data; landscape for a side view overground, portrait otherwise."""
        order = self.order
        landscape = order.analysis_type == "side_view" and not order.treadmill
        width, height = (1920, 1080) if landscape else (1080, 1920)
        told = raw_data(
            self._runner(),
            view=order.analysis_type,
            frames_per_second=frames_per_second,
            seconds=video_seconds(order.video.head) or seconds,
            width=width,
            height=height,
        )
        return shape_frames(shapes, told)

    def _runner(self) -> Runner:
        order = self.order
        seed = bytes.fromhex(order.video.sha256)
        return runner_of(seed, height=order.height, weight=order.weight, pace=order.pace)


def timestamp(at: float) -> str:
    """Seconds since the epoch as ISO 8601 UTC with `Z`, such as `2025-01-31T08:00:00.000Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def video_seconds(head: bytes) -> float | None:
    """The length of an MP4 or MOV in seconds, if its movie header is within `head` and tells it."""
    at = head.find(b"mvhd")
    if at < 0:
        return None
    # Version 1 has 64-bit times and a 64-bit length around the 32-bit time scale.
    first, width = (24, 8) if head[at + 4 : at + 5] == b"\x01" else (16, 4)
    told = head[at + first : at + first + 4 + width]
    scale, length = int.from_bytes(told[:4], "big"), int.from_bytes(told[4:], "big")
    if len(told) < 4 + width or not scale or length in (0, 2 ** (8 * width) - 1):
        return None
    return length / scale
