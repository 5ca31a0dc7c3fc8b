"""The one account of the emulated service: keys, credits, analyses, subjects, webhook and its deliveries.

Invariant: pure, and credits are taken in one place only. How a response looks is decided elsewhere.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from . import error_responses
from .analysis import Analysis, StartParameters, timestamp
from .delivery_schedule import deliveries_of
from .file_store import FileStore
from .messages import Charge, UploadedVideo
from .outbox import Outbox
from .seeded_random import digest, seeded_uuid, uniform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .settings import EmulatorSettings

__all__ = ["Account"]


class Account:
    """The state of the account. It is not locked; what it returns as a tuple is a snapshot."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self.keys: dict[str, None] = dict.fromkeys(sorted(settings.api_keys))
        """Accepted API keys, oldest first."""
        self.bought: int = settings.credits
        """Credits ever bought."""
        self.ledger: list[Charge] = []
        self.analyses: dict[str, Analysis] = {}
        self.subjects: dict[str, dict[str, Any]] = {}
        """Profiles by id, without the soft-deleted ones."""
        self.webhook: dict[str, Any] = {}
        self.outbox: Outbox = Outbox(settings.deliveries, lambda: self.webhook, settings.log_limit)
        self.files: FileStore = FileStore(
            digest(settings.seed, "storage"), settings.signed_url_seconds, settings.storage_url
        )
        self._created_subjects = 0
        self._free_at = [0.0] * settings.concurrent_analyses

    def check_key(self, key: str | None) -> None:
        """Rejects a request without an accepted key."""
        if not key:
            raise error_responses.key_missing()
        if key not in self.keys:
            raise error_responses.key_invalid()

    def credits(self, now: float) -> int:
        """Credits left."""
        failed = (analysis.failed(now) for analysis in tuple(self.analyses.values()))
        return self.bought - len(self.ledger) + (sum(failed) if self.settings.refund_failed_analyses else 0)

    def start(self, parameters: StartParameters, now: float) -> Analysis:
        """Starts an analysis and charges it; rejects the start if there are no credits."""
        if self.credits(now) < 1:
            raise error_responses.no_credits()
        analysis = self._add_analysis(parameters, now, fails=self._will_fail(parameters.video))
        self._charge(analysis.analysis_id, parameters, now)
        if analysis.notified:
            self.outbox.add(deliveries_of(analysis))
        return analysis

    def record_rejected_upload(self, parameters: StartParameters, now: float) -> None:
        """Charges and lists an upload that is rejected for its video, as far as the settings say so."""
        if self.settings.charge_refused_uploads and self.credits(now) > 0:
            self._charge(None, parameters, now)
        if self.settings.list_refused_uploads:
            self._add_analysis(parameters, now, fails=False)

    def _charge(self, analysis_id: str | None, parameters: StartParameters, now: float) -> None:
        video = parameters.video
        self.ledger.append(Charge(analysis_id, video.sha256, video.filename, now, parameters.subject_id))

    def _add_analysis(self, parameters: StartParameters, now: float, *, fails: bool) -> Analysis:
        begins, ends = self._schedule(parameters.video, now)
        analysis_id = seeded_uuid(self.settings.seed, "analysis", len(self.analyses))
        notified = parameters.notify and bool(self.webhook.get("enabled"))
        analysis = Analysis(analysis_id, parameters, now, begins, ends, fails, self.settings, notified)
        self.analyses[analysis_id] = analysis
        return analysis

    def _schedule(self, video: UploadedVideo, now: float) -> tuple[float, float]:
        # First come, first served: each analysis takes the slot that is free first.
        shortest, longest = self.settings.analysis_seconds
        drawn = uniform(self.settings.seed, "duration", video.sha256)
        begins = max(now + self.settings.queue_seconds, heapq.heappop(self._free_at))
        ends = begins + shortest + (longest - shortest) * drawn
        heapq.heappush(self._free_at, ends)
        return begins, ends

    def _will_fail(self, video: UploadedVideo) -> bool:
        named = {video.sha256, video.filename} & self.settings.failing_clips
        return bool(named) or uniform(self.settings.seed, "failure", video.sha256) < self.settings.failure_rate

    def analysis(self, analysis_id: str) -> Analysis:
        """The analysis with this id; rejects an unknown one."""
        if analysis_id not in self.analyses:
            raise error_responses.not_found("Analysis")
        return self.analyses[analysis_id]

    def listed_analyses(self, now: float) -> Iterable[Analysis]:
        """The analyses that lists show at `now`, oldest first."""
        lag = self.settings.listing_lag
        return (analysis for analysis in self.analyses.values() if analysis.created_at + lag <= now)

    def subject(self, subject_id: str) -> dict[str, Any]:
        """The profile with this id; rejects an unknown or deleted one."""
        if subject_id not in self.subjects:
            raise error_responses.not_found("Subject")
        return self.subjects[subject_id]

    def create_subject(self, profile: dict[str, Any], now: float) -> dict[str, Any]:
        """Adds a profile; fields that `profile` leaves out are null."""
        subject_id = seeded_uuid(self.settings.seed, "subject", self._created_subjects)
        self._created_subjects += 1
        empty = dict.fromkeys(("email", "name", "height", "weight"))
        self.subjects[subject_id] = {"id": subject_id, **empty, **profile, "created_at": timestamp(now)}
        return self.subjects[subject_id]
