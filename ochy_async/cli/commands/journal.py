"""`ochy journal`: what a batch remembers, and the user's word where it does not know.

Invariant: no results, no key, no network. What may cost a second credit is said, and asked for.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import click
from attrs import frozen

from ...batch.resolve import DOUBTS, RELEASABLE, adopt, release
from ...journal.contract import Entry, HistoryEntry, Journal
from ...journal.sqlite.journal import SqliteJournal
from ...policy.clip_states import State
from ...protocol.video_limits import CONTENT_TYPES, extension
from ..connection import Account, account_options
from ..default_journal import journals, state_journal
from ..display.reporter import draw, tell
from ..display.tables import NOTHING, Sheet, printable
from ..display.uncertain import SHOWN
from ..groups import Group
from ..request_options import refuse
from .journal_repair import command as repair_command
from .journal_repair import confirm

__all__ = ["command", "journal_sheet"]

T = TypeVar("T")

SHORTEST: Final = 4
"""Digits of a key that are taken for one."""
_COSTS: Final = (
    "A released clip is bought again by the next run. Where its start was charged after all, or its credit is gone, "
    "that is a second credit for the same clip."
)


@click.group("journal", cls=Group, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show what a journal remembers, and settle what is in doubt. Sends nothing; without a command it is `show`.

    JOURNAL is its file, given with --journal PATH or found as clips.journal in the folder of --out. Left out, it is the
    journal in your state folder: that of the API key and base URL, or, without a key, the only one that is there.
    It holds the results of clips, which are health data; deleting the file forgets them, and what was paid for.

    A CLIP is a path as the journal shows it, or the first digits of its key.
    """
    if context.invoked_subcommand is None:
        with show.make_context("show", [], parent=context) as inner:  # so that the environment counts too
            show.invoke(inner)


@command.command("show")
@click.argument("words", metavar="[JOURNAL] [CLIP...]", nargs=-1)
@account_options
@click.option("--history", is_flag=True, help="Every change of each clip, oldest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout.")
def show(words: tuple[str, ...], history: bool, as_json: bool, base_url: str | None, key_file: str | None) -> None:
    """Show the clips that a journal remembers: their states, ids and credits, never results."""
    path, clips = _meant(words, Account(base_url=base_url, key_file=key_file))
    found = _with(path, partial(_known, clips=clips, history=history))
    if as_json:
        for each in found:
            click.echo(json.dumps(each.told(history)))
    else:
        draw(journal_sheet(f"The journal {path}", [each.entry for each in found]))
        for each in found if history else ():
            draw(_history_sheet(each))


@command.command("adopt")
@click.argument("words", metavar="[JOURNAL] CLIP ID", nargs=-1, required=True)
@account_options
def adopt_command(words: tuple[str, ...], base_url: str | None, key_file: str | None) -> None:
    """Settle a CLIP in doubt: it became the analysis ID, which the next run collects. Spends nothing."""
    path, rest = _meant(words, Account(base_url=base_url, key_file=key_file))
    if len(rest) != 2:
        raise click.UsageError("Give a CLIP and the ID of its analysis, behind the JOURNAL if there is one.")
    clip, analysis_id = rest

    async def settle(journal: Journal) -> Entry:
        return await adopt(journal, (await _the_one(journal, clip, DOUBTS)).key, analysis_id)

    entry = _with(path, settle)
    tell(f"{printable(entry.clip)}: adopted as {analysis_id}. Run the batch again to collect it.")


@command.command("release")
@click.argument("words", metavar="[JOURNAL] [CLIP...]", nargs=-1)
@account_options
@click.option("--all-uncertain", is_flag=True, help="All clips whose start is in doubt.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def release_command(
    words: tuple[str, ...], all_uncertain: bool, yes: bool, base_url: str | None, key_file: str | None
) -> None:
    """Let each CLIP be bought again: one in doubt, failed or refused. May cost a second credit for each."""
    path, clips = _meant(words, Account(base_url=base_url, key_file=key_file))
    if bool(clips) == all_uncertain:
        raise click.UsageError("Name the clips, or give --all-uncertain.")
    entries = _with(path, partial(_releasable, clips=clips))
    if not entries:
        tell("Nothing is in doubt.")
        return
    _confirm(entries, yes)
    for entry in _with(path, partial(_released, entries=entries)):
        tell(f"{printable(entry.clip)}: released. The next run buys it.")


command.add_command(repair_command)


def _confirm(entries: Sequence[Entry], yes: bool) -> None:
    for entry in entries:
        tell(f"{printable(entry.clip)}: {entry.state}, key {entry.key[:SHOWN]}")
    tell(_COSTS)
    confirm(f"Release {len(entries)}?", yes=yes)


def _with(path: Path, deed: Callable[[Journal], Awaitable[T]]) -> T:
    """What a deed gives with the journal open. Raises `JournalError`, such as `JournalBusy` during a run."""

    async def done() -> T:
        async with SqliteJournal(path) as journal:
            return await deed(journal)

    return anyio.run(done)


# --- finding --------------------------------------------------------------------------------------


def _meant(words: tuple[str, ...], account: Account) -> tuple[Path, tuple[str, ...]]:
    """The journal, named first or found, and the other words."""
    if words and _is_journal(words[0]):
        return Path(words[0]), words[1:]
    found = _usual(account)
    if found is not None and found.is_file():
        return found, words
    missing = f"JOURNAL: {words[0]!r} does not exist, and " if words else "JOURNAL: "
    raise refuse([f"{missing}there is no journal of the account yet: {_there_are()}"])


def _is_journal(word: str) -> bool:
    """Whether a word names a journal: a file that is there, and no video."""
    return Path(word).is_file() and extension(Path(word).name) not in CONTENT_TYPES


def _usual(account: Account) -> Path | None:
    """The journal of the account; without a key the only one that is there."""
    if account.key_source() is not None:
        return anyio.run(partial(state_journal, *account.identity(), same=None))
    there = journals()
    return there[0] if len(there) == 1 else None


def _there_are() -> str:
    there = ", ".join(repr(str(each)) for each in journals())
    return f"name one of {there}" if there else "`ochy analyze` makes one; or name its file"


@frozen
class _Known:
    entry: Entry
    history: tuple[HistoryEntry, ...]

    def told(self, history: bool) -> dict[str, Any]:
        """The entry for JSON."""
        entry = self.entry
        told = {
            "clip": entry.clip,
            "state": entry.state,
            "analysis_id": entry.analysis_id,
            "view": entry.view,
            "subject_id": entry.subject_id,
            "credits": entry.credits,
            "at": entry.at.isoformat(),
            "started_at": entry.started_at and entry.started_at.isoformat(),
            "reason": entry.reason,
            "key": entry.key,
        }
        return {**told, "history": [_past(each) for each in self.history]} if history else told


def _past(past: HistoryEntry) -> dict[str, Any]:
    return {
        "at": past.at.isoformat(),
        "state": past.state,
        "analysis_id": past.analysis_id,
        "reason": past.reason,
    }


async def _known(journal: Journal, clips: Sequence[str], *, history: bool) -> list[_Known]:
    entries = [each async for each in journal.entries()]
    unknown = [clip for clip in clips if not any(_is_called(each, clip) for each in entries)]
    if unknown:
        raise refuse(f"CLIP: {clip!r} is not known to the journal" for clip in unknown)
    wanted = [each for each in entries if not clips or any(_is_called(each, clip) for clip in clips)]
    return [_Known(each, await journal.history(each.key) if history else ()) for each in wanted]


async def _releasable(journal: Journal, clips: Sequence[str]) -> list[Entry]:
    if clips:
        return [await _the_one(journal, clip, RELEASABLE) for clip in dict.fromkeys(clips)]
    return [each async for each in journal.entries(*DOUBTS)]


async def _released(journal: Journal, entries: Iterable[Entry]) -> list[Entry]:
    return [await release(journal, each.key) for each in entries]


async def _the_one(journal: Journal, clip: str, states: frozenset[State]) -> Entry:
    """The entry that is meant. Where more are called so, those that are in one of the states come first."""
    called = [each async for each in journal.entries() if _is_called(each, clip)]
    fitting = [each for each in called if each.state in states] or called
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise refuse([f"CLIP: {clip!r} is not known to the journal; `ochy journal show` lists what is"])
    keys = ", ".join(f"{each.key[:SHOWN]} ({each.state})" for each in fitting)
    raise refuse([f"CLIP: {clip!r} is the name of {len(fitting)} clips; give the first digits of a key: {keys}"])


def _is_called(entry: Entry, clip: str) -> bool:
    return entry.clip == clip or (len(clip) >= SHORTEST and entry.key.startswith(clip.lower()))


# --- sheets ---------------------------------------------------------------------------------------


def journal_sheet(title: str, entries: Sequence[Entry]) -> Sheet:
    """The entries as a table."""
    credits_ = sum(each.credits for each in entries)
    note = f"{len(entries)} clips, {credits_} credits spent or in doubt"
    columns = ("state", "clip", "analysis", "changed", "credits", "key", "reason")
    return Sheet(title, columns, tuple(_rows(entries)), (note,))


def _rows(entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    for each in entries:
        yield (
            str(each.state),
            each.clip or each.name,
            each.analysis_id or NOTHING,
            _time(each.at),
            str(each.credits),
            each.key[:SHOWN],
            each.reason or NOTHING,
        )


def _history_sheet(known: _Known) -> Sheet:
    rows = ((_time(each.at), str(each.state), each.analysis_id or NOTHING, each.reason) for each in known.history)
    return Sheet(known.entry.clip or known.entry.name, ("at", "state", "analysis", "reason"), tuple(rows))


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
