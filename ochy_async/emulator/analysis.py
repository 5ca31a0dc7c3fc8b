"""One analysis of the emulated service, as a function of time.

Invariant: pure. The start fixes when the analysis begins and ends, so its state at any moment is computed and never
advanced.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from .assessments import back_view_results, side_view_results
from .biomechanics.runner import Runner, runner_of
from .calculated_data import back_view_calculated, side_view_calculated
from .raw_data import raw_data
from .response_shapes import fraction_at, percentage_field, shape_analysis, shape_frames, with_unrequested_joints
from .seeded_random import uniform

if TYPE_CHECKING:
    from .messages import UploadedVideo
    from .settings import EmulatorSettings

__all__ = ["Analysis", "StartParameters", "timestamp"]

HTTP_STATUS = {"success": 200, "failed": 400, "pending": 200, "analyzing": 202}


@frozen
class StartParameters:
    """The parameters of a start, validated."""

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
    parameters: StartParameters = field(repr=False)
    created_at: float
    begins_at: float
    """When it leaves the queue."""
    ends_at: float
    fails: bool
    settings: EmulatorSettings = field(repr=False)
    notified: bool = False
    """Whether its updates are delivered to the webhook. Fixed at the start (documented)."""

    def status(self, now: float) -> str:
        """`pending`, `analyzing`, `success`, `failed`, or `ResponseShapes.unknown_status`."""
        shapes = self.settings.shapes
        if now >= self.ends_at:
            return "failed" if self.fails else "success"
        if shapes.unknown_status is not None and now < self.created_at + shapes.unknown_status_seconds:
            return shapes.unknown_status
        return "analyzing" if now >= self.begins_at else "pending"

    def succeeded(self, now: float) -> bool:
        """Whether it has finished with results."""
        return now >= self.ends_at and not self.fails

    def failed(self, now: float) -> bool:
        """Whether it has finished without results."""
        return now >= self.ends_at and self.fails

    def state(self, now: float) -> tuple[int, dict[str, Any]]:
        """The HTTP status and the body of a request for results, without the keys that only `success` has."""
        status, shapes = self.status(now), self.settings.shapes
        body: dict[str, Any] = {shapes.id_key: self.analysis_id, "status": status}
        if status == "success":
            body["percentage"] = 100
        elif status != "failed":
            fraction = (now - self.begins_at) / (self.ends_at - self.begins_at) if now >= self.begins_at else None
            body |= percentage_field(shapes, fraction, self._level)
        return HTTP_STATUS.get(status, 200), body

    def reached_at(self, percentage: float) -> float:
        """When it shows `percentage` (0-100)."""
        return self.begins_at + (self.ends_at - self.begins_at) * fraction_at(percentage, self._level)

    @property
    def _level(self) -> float:
        """The percentage at which it stays for a while."""
        return 40 + 40 * uniform("level", self.parameters.video.sha256)

    def list_item(self, now: float) -> dict[str, Any]:
        """The analysis as an item of a list; it has a `subject_id` only when linked."""
        item = {
            self.settings.shapes.list_id_key: self.analysis_id,
            "status": self.status(now),
            "analysis_type": self.parameters.analysis_type,
            "created_at": timestamp(self.created_at),
        }
        subject_id = self.parameters.subject_id
        return item if subject_id is None else {**item, "subject_id": subject_id}

    def results(self) -> dict[str, Any]:
        """The `biomechanical_analysis` object."""
        parameters, shapes, runner = self.parameters, self.settings.shapes, self._runner()
        if parameters.analysis_type == "side_view":
            return shape_analysis(shapes, side_view_results(runner, language=parameters.language))
        results = back_view_results(runner, language=parameters.language, full_body=parameters.full_body)
        return shape_analysis(shapes, results if parameters.full_body else with_unrequested_joints(shapes, results))

    def calculated_data(self) -> dict[str, Any]:
        """The calculated data."""
        if self.parameters.analysis_type == "side_view":
            return shape_analysis(self.settings.shapes, side_view_calculated(self._runner()))
        calculated = back_view_calculated(self._runner(), full_body=self.parameters.full_body)
        return shape_analysis(self.settings.shapes, calculated)

    def raw_data(self) -> dict[str, Any]:
        """The raw data; landscape for a side view overground, portrait otherwise."""
        parameters, settings = self.parameters, self.settings
        landscape = parameters.analysis_type == "side_view" and not parameters.treadmill
        width, height = (1920, 1080) if landscape else (1080, 1920)
        view, seconds = parameters.analysis_type, parameters.video.seconds or settings.default_video_seconds
        fps = settings.frames_per_second
        raw = raw_data(self._runner(), view=view, fps=fps, seconds=seconds, width=width, height=height)
        return shape_frames(settings.shapes, raw)

    def _runner(self) -> Runner:
        parameters = self.parameters
        seed = bytes.fromhex(parameters.video.sha256)
        return runner_of(seed, height=parameters.height, weight=parameters.weight, pace=parameters.pace)


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 UTC with `Z`, such as `2025-01-31T08:00:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
