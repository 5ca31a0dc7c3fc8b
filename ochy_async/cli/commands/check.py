"""`ochy check`: reports on this machine alone whether clips are suitable, before they cost a credit.

Invariant: no key, no network, no credit. The verdicts are those of `ochy analyze`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import anyio
import click
from anyio import CapacityLimiter
from attrs import asdict, frozen

from ...batch.sources import BatchItem, label_of
from ...clips import Clip, prepare
from ...errors import ClipUnusable, Finding
from ...preflight.checker import probed_facts
from ...preflight.facts import ClipFacts
from ...preflight.prober import INSTALL, Prober
from ...preflight.rules import blocking, findings_for
from ...protocol.request import AnalysisRequest
from ...protocol.text_summary import NOTHING, count_of, format_number
from ...protocol.views import view_title
from ..display.tables import TextTable, print_table
from ..display.terminal import print_message
from ..exit_codes import ExitCode
from ..inputs import find_clips
from ..request_options import RequestFlags, extra_column_option, view_option

__all__ = ["command"]

CONCURRENT: Final = 4
"""Clips at once: some are opened while others are probed."""
ANY_PACE: Final = "06:00"
"""A treadmill request needs a pace; the verdict does not depend on it."""
COLUMNS: Final = ("clip", "verdict", "picture", "seconds", "fps", "format", "MB")


@frozen(kw_only=True)
class CheckedClip:
    """A clip and its findings."""

    clip: str
    request: AnalysisRequest[Any, Any]
    facts: ClipFacts | None
    """None where the clip could not be opened."""
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Literal["fits", "may not fit", "does not fit"]:
        """The findings in a word."""
        if blocking(self.findings, "errors"):
            return "does not fit"
        return "may not fit" if self.findings else "fits"


@click.command("check")
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True)
@view_option
@click.option("--treadmill", is_flag=True, help="The runner is on a treadmill.")
@click.option("--recursive", is_flag=True, help="Also search the subfolders of folders.")
@extra_column_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
@click.option("--strict", is_flag=True, help="Let warnings affect the exit code too.")
def command(
    clips: tuple[str, ...],
    view: str | None,
    treadmill: bool,
    recursive: bool,
    extra_column: tuple[str, ...],
    as_json: bool,
    strict: bool,
) -> None:
    """Check each CLIP before it costs a credit. Sends and spends nothing, and needs no key.

    A CLIP is what `ochy analyze` takes: a video, a folder, a quoted pattern, a URL, or a manifest. Length,
    picture size and frame rate are checked only if the extra `video` is installed.

    Exit code 0: all clips fit; 1: some do not fit or, with --strict, may not fit.
    """
    fields: dict[str, Any] = {"treadmill": True, "pace": ANY_PACE} if treadmill else {}
    found = find_clips(clips, RequestFlags(view, fields), recursive=recursive, extra_columns=extra_column)
    checked = anyio.run(_check_all, found.clips)
    if as_json:
        for each in checked:
            click.echo(_json_line(each))
    else:
        print_table(_table(checked))
    if any(INSTALL in str(finding) for each in checked for finding in each.findings):
        print_message(f"Only names, sizes and signatures were checked. To check the rest: {INSTALL}")
    bad = [each for each in checked if blocking(each.findings, "warnings" if strict else "errors")]
    click.get_current_context().exit(ExitCode.SOME_FAILED if bad else ExitCode.OK)


async def _check_all(clips: Sequence[BatchItem]) -> list[CheckedClip]:
    """All clips, in their order."""
    checked: dict[int, CheckedClip] = {}
    limiter = CapacityLimiter(CONCURRENT)

    async def check(index: int) -> None:
        async with limiter:
            checked[index] = await _check(clips[index], prober)

    async with Prober() as prober, anyio.create_task_group() as checks:
        for index in range(len(clips)):
            checks.start_soon(check, index)
    return [checked[index] for index in sorted(checked)]


async def _check(item: BatchItem, prober: Prober) -> CheckedClip:
    clip, request = label_of(item.clip), item.request
    if request is None:
        raise LookupError("an item of the command line has a request")
    try:
        facts = await probed_facts(await prepare(item.clip), prober)
    except ClipUnusable as error:
        findings = tuple(each for each in error.problems if isinstance(each, Finding))
        return CheckedClip(clip=clip, request=request, facts=None, findings=findings)
    path = None if isinstance(item.clip, Clip) else clip
    return CheckedClip(clip=clip, request=request, facts=facts, findings=findings_for(facts, request, path=path))


# --- output -------------------------------------------------------------------------------------


def _table(checked: Sequence[CheckedClip]) -> TextTable:
    good = sum(each.verdict == "fits" for each in checked)
    reasons: set[str] = set()
    return TextTable(
        f"{good} of {count_of(len(checked), 'clip')} fit; nothing was sent or spent",
        COLUMNS,
        tuple(map(_row, checked)),
        (*(note for each in checked for note in _notes(each, reasons)), *_not_probed(checked), *_help(checked)),
    )


def _row(checked: CheckedClip) -> tuple[str, ...]:
    facts = checked.facts or ClipFacts(name=checked.clip, size=0)
    picture = f"{facts.width}x{facts.height}" if facts.width and facts.height else NOTHING
    format_ = " ".join(filter(None, (facts.container, facts.codec))) or NOTHING
    return (
        checked.clip,
        checked.verdict,
        f"{picture}, rotated" if facts.rotation else picture,
        format_number(facts.seconds, digits=1),
        format_number(facts.fps, digits=2).removesuffix(".00"),
        format_,
        format_number(facts.size / 1e6 if checked.facts else None, digits=1),
    )


def _notes(checked: CheckedClip, reasons: set[str]) -> Iterator[str]:
    """The findings. The `reasons` why clips were not probed are added to the set, and each is printed once."""
    for each in checked.findings:
        if each.code == "unchecked" and checked.facts is not None and (reason := checked.facts.unread):
            if reason in reasons:
                continue
            reasons.add(reason)
        yield f"{checked.clip} ({view_title(checked.request.view)}): {each.severity}: {each}"


def _not_probed(checked: Sequence[CheckedClip]) -> Iterator[str]:
    """How many clips were not probed, for each reason that several share."""
    counts = Counter(each.facts.unread for each in checked if each.facts is not None and each.facts.unread)
    for reason, count in counts.items():
        if count > 1:
            yield f"{count} clips could not be read, all for the same reason: {reason}"


def _help(checked: Sequence[CheckedClip]) -> Iterator[str]:
    """Where the documentation explains the findings: once for each kind, in the order of the notes."""
    for place in dict.fromkeys(finding.help for each in checked for finding in each.findings):
        yield f"Help: {place} in the documentation (see the README)."


def _json_line(checked: CheckedClip) -> str:
    return json.dumps(
        {
            "clip": checked.clip,
            "view": checked.request.view,
            "verdict": checked.verdict,
            "facts": None if checked.facts is None else asdict(checked.facts),
            "findings": [asdict(each) for each in checked.findings],
        }
    )
