"""How long analyses take, for the benchmark of waiting: seven kinds of servers.

Invariant: nobody has compared them with the vendor's server; so no single one of them counts, only all together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Final

from .simulated_server import Duration, between

__all__ = ["DURATIONS"]

_DAY: Final = 86_400 / 24  # one hour: 380 analyses, one after the other, see a whole day
_JUMP_EVERY: Final = 4_000.0


def _lognormal(rng: random.Random, _: float) -> float:
    """A median of 18 s, and a long tail."""
    return rng.lognormvariate(math.log(18.0), 0.35)


def _two_peaks(rng: random.Random, _: float) -> float:
    """Short clips and long ones."""
    return max(1.0, rng.gauss(12.0, 1.5) if rng.random() < 0.6 else rng.gauss(27.0, 2.0))


def _drifting(rng: random.Random, started: float) -> float:
    """Twice as slow at the peak of a day as at night."""
    return rng.uniform(10.0, 30.0) * (1.0 - math.cos(math.tau * started / _DAY) / 3)


def _jumping(rng: random.Random, started: float) -> float:
    """10 to 30 s, and for as long again three times that."""
    return rng.uniform(10.0, 30.0) * (1.0 if int(started / _JUMP_EVERY) % 2 else 3.0)


DURATIONS: Final[Mapping[str, Duration]] = {
    "uniform, 10 to 30 s": between(10.0, 30.0),
    "lognormal": _lognormal,
    "two peaks": _two_peaks,
    "drift over a day": _drifting,
    "jumps": _jumping,
    "long, 60 to 180 s": between(60.0, 180.0),
    "nearly constant": between(19.0, 21.0),
}
