"""Compares what several workers did and believe with the emulator's ledger, while they run and after they have ended.

Invariant: it changes nothing. What it knows about the rules is written out here, so that it does not depend on the
library.
"""

# The judge reads private state of the emulator.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from ochy_async.batch.outcomes import Analyzed, Failed, Outcome, Uncertain
from ochy_async.journal.contract import BEAT, LEASE, Entry
from ochy_async.policy.clip_states import State
from tests.conftest import loop_clock

from .pausing import Process, running_process
from .scenario import Purchase

if TYPE_CHECKING:
    from ochy_async.protocol.wire import Request

    from .shared_world import SharedWorld

NO_CREDITS: Final = 402
PAUSE: Final = 60.0
"""Seconds between two starts that find out whether there are credits again."""
STALE: Final = 5.0
"""Seconds after which a worker that was not paused knows what another one has stored."""
UNKNOWN: Final = frozenset({State.SENDING, State.UNCERTAIN})
"""The start may have been charged, and no id is known."""


@define(eq=False)
class Judge:
    """Notes what happens, and what of it is a violation."""

    world: SharedWorld
    violations: list[str] = field(factory=list)
    releases: Counter[Purchase] = field(factory=Counter)
    """How often each clip was released by hand: it may be bought once more."""
    lost_intents: Counter[Purchase] = field(factory=Counter)
    """How many intents of each clip a failover has lost. No trace of such a start is left, so the clip may be bought
    once more, as after a release."""
    additions: int = 0
    """Analyses that were stored for entries that had moved on; their credit may be counted twice."""
    not_stored: set[str] = field(factory=set)
    """Analyses that the journal was told, and answered with an error."""
    outcomes: list[Outcome[Any, Any]] = field(factory=list)
    """Of all workers."""
    _tellers: defaultdict[str, list[Process]] = field(factory=lambda: defaultdict(list))
    """Which processes got the id of an analysis in the answer to a start."""
    _intended_at: dict[str, float] = field(factory=dict)
    """When the latest start of a clip was intended, by key."""
    _starters: dict[str, Process] = field(factory=dict)
    """Which process intended the latest start of a clip, by key."""
    _uploads: dict[str, list[tuple[Process, float]]] = field(factory=dict)
    """The uploads under way, and when each began."""
    _refusal: tuple[Process, float, int] | None = None
    """The process that an answer last told to pause, as there were no credits; when, and the number of charges then."""
    _refused_since: dict[Process, float] = field(factory=dict)
    """Since when each process has known of no credits."""
    _polls: list[float] = field(factory=list)
    _kept: Counter[str] = field(factory=Counter)

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.violations.append(otherwise)
            self.world.trace(f"VIOLATION: {otherwise}")

    # --- while the workers run ----------------------------------------------------------------------

    def stored(self, before: Entry | None, entry: Entry, *, added: bool) -> None:
        """A change of the journal."""
        self.additions += added
        limit = self.world.scenario.max_credits
        committed = self.world.store.committed()
        right = limit is None or committed <= limit + 2 * self.additions  # 2 while the entry of such a one is changed
        self.expect(right, "more credits are committed than max_credits")
        if before is not None and entry.state is State.ANALYZED is not before.state:
            self._kept[entry.key] += 1
        if (process := running_process()) is not None:
            self._check_starter(process, before, entry)

    def _check_starter(self, process: Process, before: Entry | None, entry: Entry) -> None:
        """Nobody but a worker itself changes what it has intended or sent, while its lease lasts."""
        starter = self._starters.get(entry.key)
        if entry.state is State.INTENDED and (before is None or before.state is State.OPEN):
            self._starters[entry.key], self._intended_at[entry.key] = process, self.world.now()
        elif starter is not None and before is not None and before.state in (State.INTENDED, State.SENDING):
            own = starter is process or self.releases[self.world.purchases[entry.key]] > 0
            self.expect(own or not self._is_alive(starter), "a worker interfered with the start of another that lives")

    def _is_alive(self, process: Process) -> bool:
        """Whether the lease of a worker, and so its claim to a clip, cannot have ended."""
        ended = process.dead or process.paused or process.main is None or process.main.done()
        return not ended and process.paused_at == -math.inf and process not in self.world.failed

    def lost(self, before: Entry | None, entry: Entry, analysis_id: str | None) -> None:
        """A change of the journal is lost by a failover."""
        if entry.state is State.INTENDED and (before is None or before.state is State.OPEN):
            purchase = self.world.purchases[entry.key]
            self.lost_intents[purchase] += 1
            self.releases[purchase] += 1
        self._kept[entry.key] -= entry.state is State.ANALYZED
        if analysis_id is not None:
            self.not_stored.add(analysis_id)

    def charged(self) -> None:
        """The server has taken a credit."""
        charges, limit = len(self.world.service.ledger), self.world.scenario.max_credits
        forgotten = self.lost_intents.total()
        self.expect(limit is None or charges <= limit + forgotten, "more credits were spent than max_credits")
        self.expect(self.world.store.committed() + forgotten >= charges, "a charge is not committed")

    def told(self, process: Process, status: int, analysis_id: str | None) -> None:
        """A process got the answer to a start, and learned what it became."""
        if status == NO_CREDITS:
            now = self.world.now()
            pauses_until = self._refused_since.setdefault(process, now) + self.world.scenario.wait_for_credits
            if now + PAUSE <= pauses_until:  # else it stops its starts, and whoever begins anew may try at once
                self._refusal = process, now, len(self.world.service.ledger)
        if analysis_id is not None:
            self._refused_since.pop(process, None)
            self._tellers[analysis_id].append(process)

    def upload_begins(self, process: Process, name: str) -> None:
        entries = [entry for entry in self.world.store.entries.values() if entry.name == name]
        self.expect(bool(entries), "a clip was sent before its intent was stored")
        self.expect(not self.world.store.failover, "a clip was started before a failover was dealt with")
        now, uploads = self.world.now(), self._uploads.setdefault(process.name, [])
        uploads.append((process, now))
        ceiling = self.world.store.ceilings.uploads
        undisturbed = [each for many in self._uploads.values() for each in many if _is_undisturbed(*each, now)]
        self.expect(ceiling is None or len(undisturbed) <= ceiling, "more uploads at once than the ceiling")
        intended = max((self._intended_at.get(entry.key, -math.inf) for entry in entries), default=-math.inf)
        self._check_pause(process, now, intended)

    def _check_pause(self, process: Process, now: float, intended: float) -> None:
        """A lack of credits that one worker sees pauses all, at the latest with their next beats. Starts that were
        intended before are tried again."""
        if self._refusal is None:
            return
        refused, since, charges = self._refusal
        known = all(self._is_undisturbed_since(since, each) for each in (refused, process))
        if known and intended > since and charges == len(self.world.service.ledger):
            paused = since + BEAT + 1 < now < since + PAUSE - 1
            self.expect(not paused, "a worker started a clip while there were no credits")

    def _is_undisturbed_since(self, since: float, process: Process) -> bool:
        return not process.dead and process.paused_at < since and process not in self.world.failed

    def upload_ends(self, process: Process, request: Request) -> None:
        if request.upload is not None and (uploads := self._uploads.get(process.name)):
            uploads.pop(0)

    def polled(self, process: Process, analysis_id: str) -> None:
        known = self.world.store.owners.keys() | self.not_stored
        stored = analysis_id in known or process in self.world.failed
        self.expect(stored, "an analysis was polled before its id was stored")
        now, rate = self.world.now(), self.world.store.ceilings.polls_per_second
        if rate is not None and process.paused_at < now - LEASE and process not in self.world.failed:
            self._polls = [*(poll for poll in self._polls if poll > now - max(1.0, 1 / rate)), now]
            self.expect(len(self._polls) <= math.ceil(rate) + 1, "more polls a second than the ceiling")

    def came(self, process: Process, outcome: Outcome[Any, Any]) -> None:
        """A process showed an outcome."""
        self.outcomes.append(outcome)
        entry = self.world.store.entries.get(outcome.key or "")
        if isinstance(outcome, Uncertain) and entry is not None and process not in self.world.failed:
            since = (loop_clock() - entry.at).total_seconds()
            could_know = since > STALE and process.paused_at < self.world.now() - STALE
            right = entry.state in UNKNOWN or not could_know
            self.expect(right, f"an outcome was uncertain although the clip had been {entry.state}")

    # --- after they have ended ------------------------------------------------------------------------

    def complete(self, clips: int, found: list[Outcome[Any, Any]]) -> None:
        """A worker that nobody stopped has one outcome for each of its clips."""
        indexes = sorted(outcome.index for outcome in found)
        self.expect(indexes == list(range(clips)), "a clip has no outcome, or two")

    def ended(self, last: dict[Purchase, Outcome[Any, Any]]) -> None:
        """All workers have ended. `last` are the outcomes of the last one, which met no faults."""
        charges = self._charges()
        self._check_money(charges)
        self._check_ids(charges)
        self._check_outcomes(charges, last)

    def _made(self) -> dict[str, Purchase]:
        """What each analysis was made of, including those of refused uploads, which may cost nothing."""
        starts = {name: analysis.parameters for name, analysis in self.world.service._account.analyses.items()}
        return {name: Purchase(start.video.sha256, start.analysis_type, start.height) for name, start in starts.items()}

    def _charges(self) -> dict[str, Purchase]:
        """What was paid for, by the id of its analysis."""
        made = self._made()
        return {name: made[name] for charge in self.world.service.ledger if (name := charge.analysis_id or "") in made}

    def _check_money(self, charges: dict[str, Purchase]) -> None:
        for purchase, times in Counter(charges.values()).items():
            self.expect(times <= 1 + self.releases[purchase], "a clip was charged twice")
        clips = Counter(purchase.sha256 for purchase in self.world.purchases.values())
        clips += Counter(purchase.sha256 for purchase in self.releases.elements())
        refused = Counter(charge.sha256 for charge in self.world.service.ledger if charge.analysis_id is None)
        self.expect(not refused - clips, "a refused clip was charged twice")
        bought = Counter(outcome.key for outcome in self.outcomes if outcome.bought)
        made = Counter(self._made().values())  # a refused upload may be listed, and adopted, although it cost nothing
        for key, times in bought.items():
            purchase = self.world.purchases[key or ""]
            paid = made[purchase] + refused[purchase.sha256]
            right = times <= paid or self.releases[purchase] > 0  # then nobody knows whose start it was
            self.expect(right, "more outcomes say that they were bought than were")
        self.charged()
        for key, entry in self.world.store.entries.items():
            purchase = self.world.purchases[key]
            paid = made[purchase] + (entry.state in UNKNOWN or entry.state is State.REFUSED)
            right = entry.credits <= paid or self.releases[purchase] > 0
            self.expect(right, "a credit counts as spent that was not")

    def _check_ids(self, charges: dict[str, Purchase]) -> None:
        """Every paid id is in the journal, unless nobody who lives knew it: then its entry is uncertain."""
        for analysis_id, purchase in charges.items():
            if analysis_id in self.world.store.owners:
                continue
            knew = [process for process in self._tellers[analysis_id] if not process.dead]
            self.expect(not knew or analysis_id in self.not_stored, "a worker lost the id of a paid analysis")
            entries = [
                entry for key, entry in self.world.store.entries.items() if self.world.purchases[key] == purchase
            ]
            uncertain = any(entry.state in UNKNOWN for entry in entries)
            self.expect(uncertain or self.releases[purchase] > 0, "the journal does not know a paid analysis")

    def _check_outcomes(self, charges: dict[str, Purchase], last: dict[Purchase, Outcome[Any, Any]]) -> None:
        made = self._made()
        told: defaultdict[Purchase, set[tuple[str, str | None]]] = defaultdict(set)
        for outcome in self.outcomes:
            if isinstance(outcome, Analyzed | Failed):
                purchase = self.world.purchases[outcome.key or ""]
                told[purchase].add((outcome.word, outcome.analysis_id))
                right = made.get(outcome.analysis_id or "") == purchase
                self.expect(right, "a clip got the analysis of another")
        for purchase, outcomes in told.items():
            self.expect(len(outcomes) <= 1 + self.releases[purchase], "two workers have different outcomes of a clip")
        for key, times in self._kept.items():
            most = 1 + self.releases[self.world.purchases[key]]
            self.expect(times <= most, "results were stored twice")
        for purchase in set(charges.values()):
            self._check_last(purchase, last.get(purchase))

    def _check_last(self, purchase: Purchase, outcome: Outcome[Any, Any] | None) -> None:
        """The last outcome of a clip that was paid for."""
        if isinstance(outcome, Uncertain):
            scenario = self.world.scenario
            provable = scenario.tagged and scenario.runner is None and scenario.failover is None
            found = provable and not self.releases[purchase]
            self.expect(not found, "a charged start with a tagging subject was not found")
        elif not self.releases[purchase]:
            word = None if outcome is None else outcome.word
            self.expect(isinstance(outcome, Analyzed | Failed), f"a paid clip ended as {word}")


def _is_undisturbed(process: Process, began: float, now: float) -> bool:
    """Whether the worker has not been paused since the upload began, so that its lease cannot have ended."""
    return not process.dead and not process.paused and process.paused_at < began <= now
