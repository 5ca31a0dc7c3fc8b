"""What a batch would do and buy, before it does.

Law of this room: it reads clips and journal, and sends nothing.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

from ..policy.batching import State
from ..protocol.request import AnalysisRequest
from .line import Line
from .outcomes import Refused, Unfinished
from .report import Plan
from .sources import Clips, Item, items

__all__ = ["planned"]

MOST_REFUSALS: Final = 20

_WORDS: Final = {
    None: "to_buy",
    State.OPEN: "to_buy",
    State.INTENDED: "uncertain",
    State.UNCERTAIN: "uncertain",
    State.STARTED: "paid",
    State.ANALYSED: "done",
    State.FAILED: "failed",
    State.REFUSED: "refused",
}
"""What the journal remembers → how the plan counts it."""


async def planned(line: Line, clips: Clips, request: AnalysisRequest[Any, Any] | None) -> Plan:
    """The plan for all clips of an input. Raises what reading the input or the journal raises."""
    counts = dict.fromkeys((*_WORDS.values(), "duplicates"), 0)
    refusals: list[str] = []
    seen: set[str] = set()
    async with aclosing(items(clips, request)) as found:
        async for item in found:
            word, why = await _word(line, item, seen)
            counts[word] += 1
            refusals += [f"{item.label}: {why}"] if why else []
    return Plan(**counts, refusals=tuple(refusals[:MOST_REFUSALS]))


async def _word(line: Line, item: Item, seen: set[str]) -> tuple[str, str]:
    """How a clip is counted, and why it is refused if it is."""
    walk = await line.identified(item)
    if isinstance(walk, Refused | Unfinished):
        return "refused", walk.reason
    if walk.key in seen:
        return "duplicates", ""
    seen.add(walk.key)
    entry = await line.road.books.find(walk.key)
    walk.entry = entry
    unfit = await line.unfit(walk)
    if unfit is not None:
        return "refused", unfit.reason
    word = "to_buy" if line.again(walk) else _WORDS[entry.state if entry is not None else None]
    return word, entry.reason if word == "refused" and entry is not None else ""
