"""Lists of the account, shared by the lookups that want one at the same time.

Invariant: no lookup is given a list that was asked for before the lookup began, because that list could not show its
start. A start that may have become an analysis of the list is among the unresolved ones that are read after it, or the
analysis is known by then, or both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from itertools import chain
from math import inf
from typing import Final

from anyio import Lock, current_time, sleep
from anyio.lowlevel import checkpoint
from attrs import define, field, frozen

from ..core import SessionCore
from ..errors import OchyError, StartAttempt
from ..journal.contract import Journal
from ..policy.clip_states import UNRESOLVED
from ..policy.reconciliation import LISTING_PAUSE, MOST_CANDIDATES, AnalysesByTime, first_rival, may_matter
from ..protocol.analysis_list import AnalysisList, ListedAnalysis, list_call
from .recorder import attempt_of, released_starts

__all__ = ["AccountLists", "AccountView"]

IDS_AT_ONCE: Final = 500
"""Ids that the journal is asked for in one step; other tasks may use the journal between two steps."""


@frozen
class AccountView:
    """What one list of the account shows that the journal does not know, and the starts that may explain it."""

    analyses: AnalysesByTime
    unresolved: Mapping[str, StartAttempt]
    """By the keys of their entries. Before `SENDING` no start was charged when the list was read."""
    released: Sequence[StartAttempt]
    """Without most of those that were over before any start that waited."""
    complete: bool
    """Whether `analyses` has all of them. Those of an unknown time may be too many to ask the journal about."""

    def near(self, start: StartAttempt) -> Iterator[ListedAnalysis]:
        """The analyses that were made at the time of a start, or at an unknown time."""
        return self.analyses.near(start)

    def other_starts(self, key: str) -> Iterator[StartAttempt]:
        """The starts that may have been charged, without that of an entry."""
        return chain((start for other, start in self.unresolved.items() if other != key), self.released)


@define(eq=False)
class AccountLists:
    """Lists the account for all lookups of a batch, once for those that wait at the same time."""

    core: SessionCore
    journal: Journal
    _turn: Lock = field(factory=Lock, init=False)
    """Held by the lookup that lists for all."""
    _waiting: list[StartAttempt] = field(factory=list, init=False)
    _begun: int = field(default=0, init=False)
    """Lists that were asked for."""
    _read: int = field(default=0, init=False)
    """The number of the list in `_latest`."""
    _latest: AccountView | OchyError = field(init=False)
    _next: float = field(default=-inf, init=False)
    """When the account may be listed again, on the clock of the event loop."""
    _known: set[str] = field(factory=set, init=False)
    """Ids that the journal knows, as far as lists have shown them."""

    async def view(self, start: StartAttempt) -> AccountView:
        """What a list shows that is asked for from now on. Raises `OchyError`, also that of another lookup's list."""
        begun = self._begun
        self._waiting.append(start)
        try:
            async with self._turn:
                if self._read <= begun:
                    await self._list()
                latest = self._latest
        finally:
            self._waiting.remove(start)
        if isinstance(latest, OchyError):
            raise copy(latest).with_traceback(latest.__traceback__)  # a traceback grows with each raise
        return latest

    async def _list(self) -> None:
        await sleep(max(0.0, self._next - current_time()))
        self._begun += 1
        number = self._begun
        try:
            self._latest = await self._view()
        except OchyError as error:
            self._latest = error
        finally:
            self._next = current_time() + LISTING_PAUSE
        self._read = number

    async def _view(self) -> AccountView:
        keep, since = may_matter(self._waiting, self._known), first_rival(self._waiting)
        listed = await self.core.perform_in_slices(list_call(keep=keep))
        # The order matters, see the invariant.
        unresolved = {each.key: attempt_of(each, self.core.clock()) async for each in self.journal.entries(*UNRESOLVED)}
        released = await released_starts(self.journal, since)
        unknown, undated = await self._unknown(listed)
        return AccountView(AnalysesByTime.of(unknown), unresolved, released, complete=undated < MOST_CANDIDATES)

    async def _unknown(self, listed: AnalysisList) -> tuple[list[ListedAnalysis], int]:
        """The analyses that the journal does not know, and how many of them may be any start.

        After `MOST_CANDIDATES` of those, the journal is not asked about others without a time.
        """
        unknown, undated = list[ListedAnalysis](), 0
        for first in range(0, len(listed), IDS_AT_ONCE):
            part: Sequence[ListedAnalysis] = listed.analyses[first : first + IDS_AT_ONCE]
            if undated >= MOST_CANDIDATES:
                part = [each for each in part if each.created_at is not None]
            if part:
                self._known |= await self.journal.known([each.analysis_id for each in part])
            await checkpoint()
            new = [each for each in part if each.analysis_id not in self._known]
            undated += sum(map(self._may_be_any, new))
            unknown += new
        return unknown, undated

    def _may_be_any(self, each: ListedAnalysis) -> bool:
        started = each.analysis_id in self.core.state.started_ids
        return each.created_at is None and each.subject_id is None and not started
