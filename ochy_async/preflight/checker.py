"""Checks a clip before it is sent: probes it, applies the rules, and refuses it or reports the findings.

Invariant: a check costs no credit, contacts no server, and comes before any intent is written.
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

__all__ = ["Checker", "probed_facts"]

logger: logging.Logger = logging.getLogger("ochy_async")
SINGLE_USE = "it can be read only once, which is reserved for sending; give Clip.stream a function that reopens it"


def _unopened_facts(clip: Clip) -> ClipFacts:
    return ClipFacts(name=clip.name, size=clip.size)


async def probed_facts(clip: Clip, prober: Prober, seconds: float | None = None) -> ClipFacts:
    """The facts of a clip and its content. Raises what opening and reading the clip raises."""
    facts = _unopened_facts(clip)
    if clip.single_use:
        return evolve(facts, unread=SINGLE_USE)
    async with aclosing(clip.chunks()) as chunks:
        facts = evolve(facts, container=container_of(bytes((await anext(chunks, b""))[:SIGNATURE_BYTES])))
    return await prober.probe(facts, clip.path, clip.chunks, seconds)


@define(eq=False)
class Checker:
    """Checks the clips of a session, or of one of its batches."""

    core: SessionCore
    prober: Prober
    level: PreflightLevel
    _reported: set[str] = field(factory=set)
    """Reasons why clips could not be probed. Each is reported once, however many clips it concerns."""

    def at_level(self, level: PreflightLevel) -> Checker:
        """This checker with another level. Both report each reason once."""
        return evolve(self, level=level)

    def with_core(self, core: SessionCore) -> Checker:
        """This checker with the limits and the listener of another core. Both report each reason once."""
        return evolve(self, core=core)

    def exceeds_limits(self, clip: Clip) -> bool:
        """Whether name or size alone rule the clip out, so that its content need not be read."""
        return self.level != "off" and bool(blocking(findings_for(_unopened_facts(clip)), "errors"))

    async def check(self, clip: Clip, request: AnalysisRequest[Any, Any], label: str) -> None:
        """Raises `ClipUnusable` with all findings if one of them stops the clip; otherwise reports them."""
        facts = _unopened_facts(clip)
        if self.level != "off":
            facts = await probed_facts(clip, self.prober, self.core.limits.probe)
        findings = findings_for(facts, request, path=str(clip.path) if clip.path else None)
        raise_if_blocked(findings, self.level)
        self._report(label, facts, findings)

    def _report(self, label: str, facts: ClipFacts, findings: tuple[Finding, ...]) -> None:
        new = tuple(each for each in findings if each.code != "unchecked" or self._is_new(facts.unread))
        for each in new:
            logger.warning("%s: %s", printable(label), each)
        if new:
            self.core.emit(ClipFlagged(label, new))

    def _is_new(self, reason: str) -> bool:
        """Whether a check of the content was requested, and the reason why it was not possible is not yet reported."""
        known = self.level == "off" or reason in self._reported
        if reason:  # without a reason the clip was probed, and the finding concerns this clip only
            self._reported.add(reason)
        return not known
