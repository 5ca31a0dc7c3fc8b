"""The one account of the emulated service: keys, credits, analyses, subjects, webhook.

Invariant: pure; it keeps the books and decides nothing about how an answer looks. A credit
is taken in one place only.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from . import error_responses
from .analysis import Analysis, StartParameters, timestamp
from .file_store import FileStore
from .messages import Charge, UploadedVideo
from .seeded_random import digest, seeded_uuid, uniform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .settings import EmulatorSettings

__all__ = ["Account"]


class Account:
    """The books. Not locked; what is handed out as a tuple is a snapshot."""

    def __init__(self, world: EmulatorSettings) -> None:
        self.world = world
        self.keys = dict.fromkeys(sorted(world.api_keys))
        """Accepted API keys, oldest first."""
        self.bought = world.credits
        """Credits ever bought."""
        self.ledger: list[Charge] = []
        self.analyses: dict[str, Analysis] = {}
        self.subjects: dict[str, dict[str, Any]] = {}
        """Profiles by id, the soft-deleted left out."""
        self.webhook: dict[str, Any] = {}
        self.storage = FileStore(digest(world.seed, "storage"), world.signed_url_seconds)
        self.storage_url = world.storage_url
        self._created_subjects = 0
        self._slots = [0.0] * world.concurrent_analyses

    def check_key(self, key: str | None) -> None:
        """Refuses a request without an accepted key."""
        if not key:
            raise error_responses.key_missing()
        if key not in self.keys:
            raise error_responses.key_invalid()

    def credits(self, now: float) -> int:
        """Credits left."""
        refunded = self.world.refund_failed_analyses and sum(it.failed(now) for it in tuple(self.analyses.values()))
        return self.bought - len(self.ledger) + refunded

    def charge(self, analysis_id: str | None, order: StartParameters, now: float) -> None:
        """Takes one credit."""
        video = order.video
        self.ledger.append(Charge(analysis_id, video.sha256, video.filename, now, order.subject_id))

    def accept(self, order: StartParameters, now: float) -> Analysis:
        """Starts an analysis and charges it; refuses without credits."""
        if self.credits(now) < 1:
            raise error_responses.no_credits()
        analysis = self._begun(order, now, fails=self._fails(order.video))
        self.charge(analysis.analysis_id, order, now)
        return analysis

    def refuse(self, order: StartParameters, now: float) -> None:
        """What an upload that is refused for its video leaves behind, as the settings say."""
        if self.world.charge_refused_uploads and self.credits(now) > 0:
            self.charge(None, order, now)
        if self.world.list_refused_uploads:
            self._begun(order, now, fails=False)

    def _begun(self, order: StartParameters, now: float, *, fails: bool) -> Analysis:
        begins, ends = self._queued(order.video, now)
        analysis_id = seeded_uuid(self.world.seed, "analysis", len(self.analyses))
        analysis = Analysis(analysis_id, order, now, begins, ends, fails)
        self.analyses[analysis_id] = analysis
        return analysis

    def _queued(self, video: UploadedVideo, now: float) -> tuple[float, float]:
        # First come, first served: each analysis takes the slot that is free first.
        shortest, longest = self.world.analysis_seconds
        drawn = uniform(self.world.seed, "duration", video.sha256)
        begins = max(now + self.world.queue_seconds, heapq.heappop(self._slots))
        ends = begins + shortest + (longest - shortest) * drawn
        heapq.heappush(self._slots, ends)
        return begins, ends

    def _fails(self, video: UploadedVideo) -> bool:
        named = {video.sha256, video.filename} & self.world.failing_clips
        return bool(named) or uniform(self.world.seed, "failure", video.sha256) < self.world.failure_rate

    def analysis(self, analysis_id: str) -> Analysis:
        """The analysis with this id; refuses an unknown one."""
        if analysis_id not in self.analyses:
            raise error_responses.not_found("Analysis")
        return self.analyses[analysis_id]

    def listable(self, now: float) -> Iterable[Analysis]:
        """The analyses that lists show by now, oldest first."""
        return (it for it in self.analyses.values() if it.created_at + self.world.listing_lag <= now)

    def subject(self, subject_id: str) -> dict[str, Any]:
        """The profile with this id; refuses an unknown and a deleted one."""
        if subject_id not in self.subjects:
            raise error_responses.not_found("Subject")
        return self.subjects[subject_id]

    def create_subject(self, profile: dict[str, Any], now: float) -> dict[str, Any]:
        """A new profile; what `profile` leaves out is null."""
        subject_id = seeded_uuid(self.world.seed, "subject", self._created_subjects)
        self._created_subjects += 1
        empty = dict.fromkeys(("email", "name", "height", "weight"))
        self.subjects[subject_id] = {"id": subject_id, **empty, **profile, "created_at": timestamp(now)}
        return self.subjects[subject_id]
