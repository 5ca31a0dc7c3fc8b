"""A clip checked before it is sent: looked into, judged, stopped or told.

Invariant: it costs no credit and asks no server, and it comes before any intent. What does not stop a
clip is told, so that nobody pays unwarned.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import Any

from attrs import define, evolve, field

from ..clips import Clip
from ..core import SessionCore
from ..errors import Finding
from ..events import ClipFlagged
from ..protocol.containers import SIGNATURE_BYTES, container_of
from ..protocol.request import AnalysisRequest
from ..protocol.text_summary import printable
from .facts import ClipFacts
from .prober import Prober
from .rules import PreflightLevel, blocking, findings_for, raise_if_blocked

__all__ = ["Checker", "facts_without_opening", "probed_facts"]

logger = logging.getLogger("ochy_async")
ONLY_ONCE = "it can be read only once, and that is for sending; give Clip.stream a function that opens it anew"


def facts_without_opening(clip: Clip) -> ClipFacts:
    """What is known of a clip without opening it."""
    return ClipFacts(name=clip.name, size=clip.size)


async def probed_facts(clip: Clip, prober: Prober) -> ClipFacts:
    """What a look into a clip tells. Raises what opening and reading it raises."""
    known = facts_without_opening(clip)
    if clip.once:
        return evolve(known, unread=ONLY_ONCE)
    async with aclosing(clip.chunks()) as chunks:
        known = evolve(known, container=container_of(bytes((await anext(chunks, b""))[:SIGNATURE_BYTES])))
    return await prober.look(known, clip.path, clip.chunks)


@define(eq=False)
class Checker:
    """Checks the clips of a session, or of a batch of it."""

    core: SessionCore
    prober: Prober
    stops: PreflightLevel
    _told: set[str] = field(factory=set)
    """Why clips could not be looked into: told once, however many there are."""

    def stopped_by(self, stops: PreflightLevel) -> Checker:
        """The same with another measure."""
        return evolve(self, stops=stops)

    async def check(self, clip: Clip, request: AnalysisRequest[Any, Any], label: str) -> None:
        """Raises `ClipUnusable` with all findings if one of them stops the clip; else tells what there is to tell."""
        facts = facts_without_opening(clip) if self.stops == "off" else await probed_facts(clip, self.prober)
        findings = findings_for(facts, request, path=str(clip.path) if clip.path else None)
        raise_if_blocked(findings, self.stops)
        self._tell(label, facts, findings)

    async def refuse_limits(self, clip: Clip, request: AnalysisRequest[Any, Any], label: str) -> None:
        """`check` for a clip that name or size rule out, so that nobody reads all of it for nothing."""
        if self.stops != "off" and blocking(findings_for(facts_without_opening(clip)), "errors"):
            await self.check(clip, request, label)

    def _tell(self, label: str, facts: ClipFacts, findings: tuple[Finding, ...]) -> None:
        new = tuple(each for each in findings if each.code != "unchecked" or self._news(facts.unread))
        for each in new:
            logger.warning("%s: %s", printable(label), each)
        if new:
            self.core.emit(ClipFlagged(label, new))

    def _news(self, why: str) -> bool:
        """Whether it was asked for a look, and why there was none was not yet told."""
        known = self.stops == "off" or why in self._told
        if why:  # else it was looked into, and tells less than others do: that is of this clip alone
            self._told.add(why)
        return not known
