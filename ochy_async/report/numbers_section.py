"""The section with the numbers of a runner, each where it lies in the folder and on a reference band of the user's.

Invariant: pure. Every number of the runner is Ochy's, and a reference is named with its source, so that nobody takes it
for Ochy's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import htpy as h

from .analyses import METRICS, Metric, ReportedAnalysis, plain, rounded
from .document import Source, section
from .reference import Band, Reference
from .scales import number_scale
from .statistics import Quartiles

__all__ = ["numbers_section"]


def numbers_section(analysis: ReportedAnalysis, quartiles: Mapping[str, Quartiles], reference: Reference) -> h.Node:
    """A tile for each metric that is known. None if none is."""
    numbers = analysis.metrics
    known = [(metric, numbers[metric.name]) for metric in METRICS if metric.name in numbers]
    if not known:
        return None
    speed = numbers.get("speed_m_per_s")
    bands = {metric.name: band for metric, _ in known if (band := reference.band(metric.name, speed))}
    verdicts = {"overstride_angle_deg": _verdict(analysis.measures.get("overstride_score"))}
    tiles = [
        _tile(metric, value, verdicts.get(metric.name, ""), quartiles.get(metric.name), bands.get(metric.name))
        for metric, value in known
    ]
    notes = _notes(reference.name if bands else "", folder=bool(quartiles))
    return section("Numbers", Source.OCHY, " ".join(notes), h.ul(".tiles")[tiles])


def _notes(reference: str, *, folder: bool) -> Iterator[str]:
    if folder:
        yield (
            "Below each: where it lies among the analyses of this view in the folder. The box is the middle half, the "
            "line the median, the dot this runner; the folder is no norm."
        )
    if reference:
        yield f"The strip is a reference of yours, from {plain(reference)}. It is not Ochy's."


def _tile(metric: Metric, value: float, verdict: str, quartiles: Quartiles | None, band: Band | None) -> h.Node:
    return h.li[
        h.p(".name")[metric.title, verdict],
        h.p(".value")[h.b[rounded(value, metric.digits)], " ", metric.unit.replace(" ", "\N{NO-BREAK SPACE}")],
        None if quartiles is None and band is None else _scale(value, metric.digits, quartiles, band),
    ]


def _verdict(verdict: object) -> str:
    return "" if verdict is None else f" · {plain(verdict).removeprefix('score_').replace('_', ' ')}"


def _scale(value: float, digits: int, quartiles: Quartiles | None, band: Band | None) -> h.Node:
    drawing, low, high = number_scale(value, quartiles, band)
    return h.fragment[
        drawing,
        h.p(".ends")[h.span[rounded(low, digits)], h.span[rounded(high, digits)]],
        quartiles is not None and h.p(".unseen")[_folder(quartiles, digits)],
        band is not None and h.p(".band")[f"Your reference: {_band(band)}, ", h.bdi[plain(band.source)]],
    ]


def _folder(quartiles: Quartiles, digits: int) -> str:
    low, median, high = (rounded(each, digits) for each in (quartiles.low, quartiles.median, quartiles.high))
    return f"Folder: {low} to {high}, median {median}"


def _band(band: Band) -> str:
    """The band with its numbers as the user wrote them."""
    if math.isinf(band.low):
        return f"at most {band.high:g}"
    return f"at least {band.low:g}" if math.isinf(band.high) else f"{band.low:g} to {band.high:g}"
