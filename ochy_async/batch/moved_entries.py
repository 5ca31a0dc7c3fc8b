"""What is stored for a clip whose entry another worker or a person has changed meanwhile.

Invariant: pure. A paid analysis and a start that may have been charged are never dropped. What another attempt has
left is never written over, except an intent: whoever intended it then finds that it may not send.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from ..journal.contract import Entry
from ..policy.clip_states import UNRESOLVED, UNSENT, State

__all__ = ["on_top_of"]

_SENT: Final = UNRESOLVED - {State.INTENDED}


def on_top_of(stored: Entry, wanted: Entry) -> tuple[Entry, ...]:
    """The entries to store one after the other, so that the journal says what `wanted` says.

    There are none if the stored entry says that already, or must stay as it is. An analysis whose entry was opened must
    have been added by `Journal.add_analysis` before, so that its credit counts.
    """
    if wanted.state is State.STARTED:
        return _charged(stored, wanted, known=stored.analysis_id == wanted.analysis_id)
    if wanted.state is State.UNCERTAIN:
        return _charged(stored, wanted, known=wanted.token is not None and stored.state is not State.SENDING)
    if wanted.state in (State.OPEN, State.REFUSED):
        return _not_charged(stored, wanted)
    same = stored.analysis_id == wanted.analysis_id
    return (_over(stored, wanted),) if same and stored.state is State.STARTED else ()


def _charged(stored: Entry, wanted: Entry, *, known: bool) -> tuple[Entry, ...]:
    """What is stored of a start that was charged, or may have been."""
    if known:
        return ()
    if stored.state in UNSENT or (stored.state in _SENT and _same_attempt(stored, wanted)):
        return (_over(stored, wanted),)
    if stored.state is State.OPEN:  # taken for one that was not sent: its credit was given back
        one_more = evolve(_over(stored, wanted), credits=stored.credits + 1)
        intended = evolve(one_more, state=State.INTENDED, analysis_id=None)
        charged = evolve(one_more, version=stored.version + 1)
        return intended, evolve(charged, credits=stored.credits) if wanted.state is State.STARTED else charged
    return ()


def _not_charged(stored: Entry, wanted: Entry) -> tuple[Entry, ...]:
    """What is stored of a start that certainly did not happen, or that the server refused."""
    if not _same_attempt(stored, wanted):
        return ()
    if wanted.state is State.OPEN and stored.state in _SENT:
        return (evolve(_over(stored, wanted), credits=stored.credits - 1),)
    return (_over(stored, wanted),) if stored.state is State.SENDING else ()


def _same_attempt(stored: Entry, wanted: Entry) -> bool:
    """Whether the entry is about the attempt that made it `SENDING`, and not about another one."""
    return wanted.token is not None and stored.token == wanted.token


def _over(stored: Entry, wanted: Entry) -> Entry:
    return evolve(wanted, version=stored.version, credits=stored.credits)
