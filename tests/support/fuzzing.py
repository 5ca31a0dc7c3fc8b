"""Hostile clips: videos that were mutated in many ways, each of which is probed.

`python -m tests.support.fuzzing --clips 100000` probes any number of them; the suite probes fewer. A probe must end in
time, raise nothing, and not affect the next one.
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
"""The time limit of one probe. No clip may exceed it."""
AT_ONCE: Final = 4


@cache
def seeds() -> tuple[tuple[str, bytes], ...]:
    """Small videos in every container."""
    videos = [(kind, render_video(1, container=kind, width=64, height=36, fps=30, seconds=0.5)) for kind in CODECS]
    rotated = render_video(2, width=64, height=36, seconds=0.3, rotation=90)
    return (*videos, ("mp4", rotated), ("mp4", render_video(3, width=64, height=36, seconds=0.5, variable_rate=True)))


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


def _extreme(chance: random.Random, content: bytearray) -> bytearray:
    """Replaces a number somewhere by an extreme one."""
    width = chance.choice((2, 4, 8))
    value = chance.choice((0, 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1, 2 ** (8 * width - 1) - 1))
    at = chance.randrange(max(1, len(content) - width))
    content[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))
    return content


def _joined(chance: random.Random, content: bytearray) -> bytearray:
    """Joins the head of one video to the body of another."""
    _, other = chance.choice(seeds())
    at = chance.randrange(min(len(content), len(other)))
    return content[:at] + bytearray(other[at:])


def _renamed(chance: random.Random, content: bytearray) -> bytearray:
    """Renames a box or chunk."""
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
    _extreme,
    _joined,
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


# --- probing ------------------------------------------------------------------------------------


@define
class ProbeStatistics:
    """The findings on many clips."""

    codes: Counter[str] = field(factory=Counter)
    longest: float = 0.0
    slow: list[int] = field(factory=list)
    """Numbers of the clips whose probe exceeded the limit."""


async def probe_all(numbers: Sequence[int]) -> ProbeStatistics:
    """Probes each clip. Raises whatever a probe raises."""
    found, slots = ProbeStatistics(), CapacityLimiter(AT_ONCE)
    async with Prober(SECONDS) as prober, anyio.create_task_group() as tasks:
        for number in numbers:
            await slots.acquire_on_behalf_of(number)
            tasks.start_soon(_probe, prober, number, found, slots)
    return found


async def _probe(prober: Prober, number: int, found: ProbeStatistics, slots: CapacityLimiter) -> None:
    kind, content = mutant(number)

    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    known = ClipFacts(name=f"{number}.{kind}", size=len(content), container=container_of(content[:SIGNATURE_BYTES]))
    began = time.monotonic()
    try:
        facts = await prober.probe(known, None, chunks)
    finally:
        slots.release_on_behalf_of(number)
    seconds = time.monotonic() - began
    found.longest = max(found.longest, seconds)
    found.slow += [number] if seconds > SECONDS else []
    findings = findings_for(facts)
    found.codes.update({each.code for each in findings} or {"fits"})


async def _main(first: int, clips: int) -> None:
    began = time.monotonic()
    found = await probe_all(range(first, first + clips))
    seconds = time.monotonic() - began
    print(
        f"{clips} clips in {seconds:.0f} s ({clips / seconds:.0f} a second); the longest probe: {found.longest:.2f} s"
    )
    print(", ".join(f"{count} {word}" for word, count in found.codes.most_common()))
    print(f"took too long: {found.slow}" if found.slow else "none took too long")
    sys.exit(bool(found.slow))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    given = parser.parse_args()
    anyio.run(_main, given.first, given.clips)
