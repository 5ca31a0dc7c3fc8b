"""Hostile clips: films that were mutated in every way that comes to mind, and a look into each.

`python -m tests.support.fuzzing --clips 100000` looks into as many as one likes; the suite does it with fewer. A
look must end in time, raise nothing, and leave the next look alone.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import cache
from typing import Final

import anyio
from anyio import CapacityLimiter
from attrs import define, field

from ochy_async.emulator.video_rendering import CODECS, render_video
from ochy_async.preflight.facts import ClipFacts
from ochy_async.preflight.prober import Prober
from ochy_async.preflight.rules import findings_for
from ochy_async.protocol.containers import SIGNATURE_BYTES, container_of

SECONDS: Final = 10.0
"""For one look; what takes longer is told as such, and that many must not."""
AT_ONCE: Final = 4


@cache
def seeds() -> tuple[tuple[str, bytes], ...]:
    """Small films of every container, whole and cut."""
    films = [(kind, render_video(1, container=kind, width=64, height=36, fps=30, seconds=0.5)) for kind in CODECS]
    turned = render_video(2, width=64, height=36, seconds=0.3, rotation=90)
    return (*films, ("mp4", turned), ("mp4", render_video(3, width=64, height=36, seconds=0.5, variable_rate=True)))


# --- mutations ----------------------------------------------------------------------------------

Mutation = Callable[[random.Random, bytearray], bytearray]


def _flipped(chance: random.Random, content: bytearray) -> bytearray:
    for _ in range(chance.choice((1, 4, 64))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def _head_flipped(chance: random.Random, content: bytearray) -> bytearray:
    for _ in range(chance.choice((1, 4, 16))):
        content[chance.randrange(min(200, len(content)))] = chance.randrange(256)
    return content


def _tail_flipped(chance: random.Random, content: bytearray) -> bytearray:
    for _ in range(chance.choice((1, 8))):
        content[-1 - chance.randrange(min(900, len(content)))] = chance.randrange(256)
    return content


def _cut(chance: random.Random, content: bytearray) -> bytearray:
    return content[: chance.randrange(1, len(content))]


def _removed(chance: random.Random, content: bytearray) -> bytearray:
    first = chance.randrange(len(content))
    del content[first : first + chance.choice((1, 4, 100, 2000))]
    return content or bytearray(b"\0")


def _inserted(chance: random.Random, content: bytearray) -> bytearray:
    at = chance.randrange(len(content))
    content[at:at] = chance.randbytes(chance.choice((1, 4, 100, 2000)))
    return content


def _doubled(chance: random.Random, content: bytearray) -> bytearray:
    first = chance.randrange(len(content))
    piece = content[first : first + chance.choice((8, 200, 5000))]
    content[first:first] = piece
    return content


def _huge(chance: random.Random, content: bytearray) -> bytearray:
    """A size, count or length somewhere becomes extreme."""
    width = chance.choice((2, 4, 8))
    value = chance.choice((0, 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1, 2 ** (8 * width - 1) - 1))
    at = chance.randrange(max(1, len(content) - width))
    content[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))
    return content


def _grafted(chance: random.Random, content: bytearray) -> bytearray:
    """The head of one film on the body of another."""
    _, other = chance.choice(seeds())
    at = chance.randrange(min(len(content), len(other)))
    return content[:at] + bytearray(other[at:])


def _renamed(chance: random.Random, content: bytearray) -> bytearray:
    """One kind of box or chunk becomes another."""
    names = (b"moov", b"trak", b"mdat", b"stbl", b"stts", b"stsz", b"avcC", b"hdrl", b"movi", b"idx1", b"JUNK")
    here = [name for name in names if name in content]
    if not here:
        return _flipped(chance, content)
    at = content.index(chance.choice(here))
    content[at : at + 4] = chance.choice(names)
    return content


MUTATIONS: Final[Sequence[Mutation]] = (
    _flipped,
    _head_flipped,
    _tail_flipped,
    _cut,
    _removed,
    _inserted,
    _doubled,
    _huge,
    _grafted,
    _renamed,
)


def mutant(number: int) -> tuple[str, bytes]:
    """The clip of this number, and its container's extension: the same in every run."""
    chance = random.Random(number)
    kind, content = seeds()[number % len(seeds())]
    mutated = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        mutated = chance.choice(MUTATIONS)(chance, mutated)
    return kind, bytes(mutated)


# --- looks --------------------------------------------------------------------------------------


@define
class Findings:
    """What looks have come to."""

    words: Counter[str] = field(factory=Counter)
    longest: float = 0.0
    slow: list[int] = field(factory=list)
    """Clips whose look took longer than it may."""


async def looked_into(numbers: Sequence[int]) -> Findings:
    """Looks into each clip. Raises whatever a look raises."""
    found, turns = Findings(), CapacityLimiter(AT_ONCE)
    async with Prober(SECONDS) as prober, anyio.create_task_group() as tasks:
        for number in numbers:
            await turns.acquire_on_behalf_of(number)
            tasks.start_soon(_look, prober, number, found, turns)
    return found


async def _look(prober: Prober, number: int, found: Findings, turns: CapacityLimiter) -> None:
    kind, content = mutant(number)

    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    known = ClipFacts(name=f"{number}.{kind}", size=len(content), container=container_of(content[:SIGNATURE_BYTES]))
    began = time.monotonic()
    try:
        facts = await prober.look(known, None, chunks)
    finally:
        turns.release_on_behalf_of(number)
    seconds = time.monotonic() - began
    found.longest = max(found.longest, seconds)
    found.slow += [number] if seconds > SECONDS else []
    findings = findings_for(facts)
    found.words.update({each.code for each in findings} or {"fits"})


async def _main(first: int, clips: int) -> None:
    began = time.monotonic()
    found = await looked_into(range(first, first + clips))
    seconds = time.monotonic() - began
    print(f"{clips} clips in {seconds:.0f} s ({clips / seconds:.0f} a second); the longest look: {found.longest:.2f} s")
    print(", ".join(f"{count} {word}" for word, count in found.words.most_common()))
    print(f"took too long: {found.slow}" if found.slow else "none took too long")
    sys.exit(bool(found.slow))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    given = parser.parse_args()
    anyio.run(_main, given.first, given.clips)
