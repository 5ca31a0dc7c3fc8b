"""`ochy check`: whether clips are worth a credit, found out on this machine alone.

Invariant: no key, no network, no credit; what is said of a clip is what `ochy analyze` would say.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeGuard

import anyio
import click
from anyio import CapacityLimiter
from attrs import asdict, define, frozen

from ...batch.sources import BatchItem
from ...clips import prepare
from ...errors import ClipUnusable, Finding, Problem
from ...preflight.checker import probed_facts
from ...preflight.facts import ClipFacts
from ...preflight.prober import INSTALL, Prober
from ...preflight.rules import blocking, findings_for
from ...protocol.request import AnalysisRequest
from ...protocol.views import VIEW_WORDS
from ..display.reporter import draw, tell
from ..display.tables import NOTHING, Sheet, format_number, view_title
from ..exit_codes import Exit
from ..inputs import find
from ..request_options import Asked, extra_column_option

__all__ = ["command"]

AHEAD: Final = 4
"""Clips at once: some are opened while others are looked into."""
ANY_PACE: Final = "06:00"
"""A request on a treadmill has one; no clip is judged by it."""
COLUMNS: Final = ("clip", "verdict", "picture", "seconds", "fps", "format", "MB")

Verdict = Literal["fits", "may not fit", "does not fit"]


@frozen(kw_only=True)
class Checked:
    """A clip and what was found."""

    clip: str
    request: AnalysisRequest[Any, Any]
    facts: ClipFacts | None
    """None where it could not be opened."""
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """In words."""
        if blocking(self.findings, "errors"):
            return "does not fit"
        return "may not fit" if self.findings else "fits"


@click.command("check")
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True)
@click.option("--view", type=click.Choice(VIEW_WORDS), help="From where the clips are filmed; a manifest may tell it.")
@click.option("--treadmill", is_flag=True, help="The runner is on a treadmill.")
@click.option("--recursive", is_flag=True, help="Look into the folders of folders too.")
@extra_column_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
@click.option("--strict", is_flag=True, help="Warnings count too.")
def command(
    clips: tuple[str, ...],
    view: str | None,
    treadmill: bool,
    recursive: bool,
    extra_column: tuple[str, ...],
    **how: bool,
) -> None:
    """Check each CLIP before it costs a credit. Sends and spends nothing, and needs no key.

    A CLIP is what `ochy analyze` takes: a video, a folder, a quoted pattern, or a manifest. Length, picture
    and frame rate are read where the extra `video` is installed.

    Exit code 0: all fit; 1: some do not, with --strict those that may not too.
    """
    fields: dict[str, Any] = {"treadmill": True, "pace": ANY_PACE} if treadmill else {}
    found = find(clips, Asked(view, fields), recursive=recursive, extra_columns=extra_column)
    checked = anyio.run(_Checks(found.clips).run)
    if how["as_json"]:
        for each in checked:
            click.echo(_line(each))
    else:
        draw(_sheet(checked))
    if any(INSTALL in str(finding) for each in checked for finding in each.findings):
        tell(f"Only names, sizes and signatures could be checked. For the rest: {INSTALL}")
    bad = [each for each in checked if blocking(each.findings, "warnings" if how["strict"] else "errors")]
    click.get_current_context().exit(Exit.SOME_FAILED if bad else Exit.OK)


@define(eq=False)
class _Checks:
    clips: Sequence[BatchItem]

    async def run(self) -> list[Checked]:
        """All of them, in their order."""
        done: dict[int, Checked] = {}
        room = CapacityLimiter(AHEAD)

        async def one(index: int) -> None:
            async with room:
                done[index] = await _checked(self.clips[index], prober)

        async with Prober() as prober, anyio.create_task_group() as checks:
            for index in range(len(self.clips)):
                checks.start_soon(one, index)
        return [done[index] for index in sorted(done)]


async def _checked(item: BatchItem, prober: Prober) -> Checked:
    clip, request = str(item.clip), item.request
    if request is None:
        raise LookupError("an item of the command line has a request")
    try:
        facts = await probed_facts(await prepare(clip), prober)
    except ClipUnusable as error:
        return Checked(clip=clip, request=request, facts=None, findings=tuple(filter(_is_finding, error.problems)))
    return Checked(clip=clip, request=request, facts=facts, findings=findings_for(facts, request, path=clip))


def _is_finding(problem: Problem) -> TypeGuard[Finding]:
    return isinstance(problem, Finding)


# --- paper and JSON -----------------------------------------------------------------------------


def _sheet(checked: Sequence[Checked]) -> Sheet:
    good = sum(each.verdict == "fits" for each in checked)
    told: set[str] = set()
    return Sheet(
        f"{good} of {len(checked)} fit; nothing was sent or spent",
        COLUMNS,
        tuple(map(_row, checked)),
        (*(note for each in checked for note in _notes(each, told)), *_unread(checked)),
    )


def _row(checked: Checked) -> tuple[str, ...]:
    facts = checked.facts or ClipFacts(name=checked.clip, size=0)
    picture = f"{facts.width}x{facts.height}" if facts.width and facts.height else NOTHING
    format_ = " ".join(filter(None, (facts.container, facts.codec))) or NOTHING
    return (
        checked.clip,
        checked.verdict,
        f"{picture}, turned" if facts.rotation else picture,
        format_number(facts.seconds, digits=1),
        format_number(facts.fps, digits=2).removesuffix(".00"),
        format_,
        format_number(facts.size / 1e6 if checked.facts else None, digits=1),
    )


def _notes(checked: Checked, told: set[str]) -> Iterator[str]:
    """What was found; why clips were not looked into once for all of them, by what was `told` before."""
    for each in checked.findings:
        if each.code == "unchecked" and checked.facts is not None and (why := checked.facts.unread):
            if why in told:
                continue
            told.add(why)
        yield f"{checked.clip} ({view_title(checked.request.view)}): {each.severity}: {each}"


def _unread(checked: Sequence[Checked]) -> Iterator[str]:
    """How many clips were not looked into, for each reason that more than one has."""
    reasons = Counter(each.facts.unread for each in checked if each.facts is not None and each.facts.unread)
    for why, count in reasons.items():
        if count > 1:
            yield f"{count} clips were not looked into, all for the same reason: {why}"


def _line(checked: Checked) -> str:
    return json.dumps(
        {
            "clip": checked.clip,
            "view": checked.request.view,
            "verdict": checked.verdict,
            "facts": None if checked.facts is None else asdict(checked.facts),
            "findings": [asdict(each) for each in checked.findings],
        }
    )
