"""`ochy journal`: shows and verifies what a journal records, and takes the user's decision on uncertain starts.

Invariant: no results, no key, no network. A command that may cost a second credit says so and asks for confirmation.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import click
from attrs import frozen

from ...batch.resolve import RELEASABLE, adopt, release
from ...journal.contract import Entry, HistoryEntry, Journal
from ...journal.sqlite.repair import verify
from ...policy.clip_states import UNRESOLVED, State
from ...protocol.text_summary import count_of, printable
from ...protocol.video_limits import CONTENT_TYPES, extension
from ..connection import ConnectionSettings, connection_options
from ..default_journal import find_state_journal, state_journals
from ..display.journal import history_table, journal_table
from ..display.tables import print_table
from ..display.terminal import confirm, print_message
from ..display.uncertain import KEY_DIGITS
from ..groups import SuggestingGroup
from ..journal_place import JournalPlace, PostgresAddress, WordType, environment_journal, open_journal
from ..request_options import usage_error
from .journal_repair import command as repair_command

__all__ = ["command"]

Words = tuple[str | PostgresAddress, ...]
T = TypeVar("T")

MIN_KEY_DIGITS: Final = 4
"""A shorter word is never taken for the first digits of a key."""
_MAY_COST: Final = (
    "The next run buys a released clip again. If its start was charged after all, or its credit is already spent, you "
    "pay a second credit for the same clip."
)


@click.group("journal", cls=SuggestingGroup, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Show what a journal records, and resolve uncertain starts. Sends nothing. Without a command, runs `show`.

    JOURNAL is a journal's file: the one given with --journal PATH, or clips.journal in the --out folder; or the address
    of a journal in a database. By default it is the one that OCHY_JOURNAL names, or else a journal in your state
    folder: that of the API key and base URL or, without a key, the only one in that folder.
    A journal also stores the results of clips, which are health data. Deleting the file deletes them, and the record of
    what was paid for.

    A CLIP is a path as the journal shows it, or the first digits of its key.
    """
    if context.invoked_subcommand is None:
        with show.make_context("show", [], parent=context) as inner:  # reads the environment variables of its options
            show.invoke(inner)


@command.command("show")
@click.argument("words", metavar="[JOURNAL] [CLIP...]", nargs=-1, type=WordType())
@connection_options
@click.option("--history", is_flag=True, help="Show every change of each clip, oldest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
def show(words: Words, history: bool, as_json: bool, connection: ConnectionSettings) -> None:
    """Show the clips of a journal: their states, ids and credits, never results."""
    place, clips = _split_words(words, connection)
    found = _with_journal(place, partial(_find_all, clips=clips, history=history))
    if as_json:
        for each in found:
            click.echo(json.dumps(each.record(history)))
    else:
        print_table(journal_table(f"The journal {place}", [each.entry for each in found]))
        for each in found if history else ():
            print_table(history_table(each.entry, each.history))


@command.command("check")
@click.argument("words", metavar="[JOURNAL]", nargs=-1, type=WordType())
@connection_options
def check_command(words: Words, connection: ConnectionSettings) -> None:
    """Verify every row of a journal. A run verifies only the rows that it uses, if a journal is large."""
    place, rest = _split_words(words, connection)
    if rest:
        raise click.UsageError("Give only a JOURNAL.")
    if not isinstance(place, Path):
        raise usage_error(["JOURNAL: Postgres verifies a journal itself; look at the log of the server"])
    summary = verify(place)
    clips, rows = count_of(sum(summary.states.values()), "clip"), count_of(summary.rows, "row")
    print_message(
        f"The journal {str(place)!r} is intact: {clips}, {rows}, each with its checksum, and none is missing."
    )


@command.command("adopt")
@click.argument("words", metavar="[JOURNAL] CLIP ID", nargs=-1, type=WordType(), required=True)
@connection_options
def adopt_command(words: Words, connection: ConnectionSettings) -> None:
    """Resolve the uncertain start of a CLIP: it became the analysis ID. The next run collects it. Spends nothing."""
    place, rest = _split_words(words, connection)
    if len(rest) != 2:
        raise click.UsageError("Give a CLIP and the ID of its analysis, after the JOURNAL if you name one.")
    clip, analysis_id = rest

    async def settle(journal: Journal) -> Entry:
        return await adopt(journal, (await _find_one(journal, clip, UNRESOLVED)).key, analysis_id)

    entry = _with_journal(place, settle)
    print_message(f"{printable(entry.clip)}: adopted as {analysis_id}. Run the batch again to collect it.")


@command.command("release")
@click.argument("words", metavar="[JOURNAL] [CLIP...]", nargs=-1, type=WordType())
@connection_options
@click.option("--all-uncertain", is_flag=True, help="Release all clips with an uncertain start.")
@click.option("--force", is_flag=True, help="Also release clips that another worker of the journal is processing.")
@click.option("--yes", is_flag=True, help="Release without confirmation.")
def release_command(words: Words, all_uncertain: bool, force: bool, yes: bool, connection: ConnectionSettings) -> None:
    """Allow each CLIP (uncertain, failed or refused) to be bought again. May cost a second credit for each.

    A clip that a live worker of a shared journal is processing is refused: the answer to its start may still come.
    """
    place, clips = _split_words(words, connection)
    if bool(clips) == all_uncertain:
        raise click.UsageError("Name the clips, or give --all-uncertain.")
    entries = _with_journal(place, partial(_find_releasable, clips=clips))
    if not entries:
        print_message("Nothing to release: no start is uncertain.")
        return
    _confirm(entries, yes)
    for entry in _with_journal(place, partial(_release, entries=entries, force=force)):
        print_message(f"{printable(entry.clip)}: released. The next run buys it.")


command.add_command(repair_command)


def _confirm(entries: Sequence[Entry], yes: bool) -> None:
    for entry in entries:
        print_message(f"{printable(entry.clip)}: {entry.state}, key {entry.key[:KEY_DIGITS]}")
    print_message(_MAY_COST)
    confirm(f"Release {count_of(len(entries), 'clip')}?", yes=yes)


def _with_journal(place: JournalPlace, action: Callable[[Journal], Awaitable[T]]) -> T:
    """The result of an action on the open journal. Raises `JournalError`, such as `JournalBusy` during a run."""

    async def main() -> T:
        async with open_journal(place) as journal:
            return await action(journal)

    return anyio.run(main)


# --- the journal ----------------------------------------------------------------------------------


def _split_words(words: Words, connection: ConnectionSettings) -> tuple[JournalPlace, tuple[str, ...]]:
    """The journal, which is the first word or the default one, and the other words."""
    texts = tuple(str(each) for each in words)
    if words and isinstance(words[0], PostgresAddress):
        return words[0], texts[1:]
    if texts and _is_journal(texts[0]):
        return Path(texts[0]), texts[1:]
    if (usual := environment_journal()) is not None:
        return usual, texts
    default = _default_journal(connection)
    if default is not None and default.is_file():
        return default, texts
    missing = f"{texts[0]!r} does not exist, and " if texts else ""
    raise usage_error([f"JOURNAL: {missing}no journal of the account was found; {_advice()}"])


def _is_journal(word: str) -> bool:
    """Whether a word names an existing file that is not a video."""
    return Path(word).is_file() and extension(Path(word).name) not in CONTENT_TYPES


def _default_journal(connection: ConnectionSettings) -> Path | None:
    """The journal of the account; without a key, the only one in the state folder."""
    if connection.key_source() is not None:
        return anyio.run(partial(find_state_journal, *connection.account_and_origin(), same_account=None))
    existing = state_journals()
    return existing[0] if len(existing) == 1 else None


def _advice() -> str:
    existing = ", ".join(repr(str(each)) for each in state_journals())
    return f"name one of {existing}" if existing else "`ochy analyze` creates one; or name a file"


# --- its entries ----------------------------------------------------------------------------------


@frozen
class _EntryWithHistory:
    entry: Entry
    history: tuple[HistoryEntry, ...]

    def record(self, history: bool) -> dict[str, Any]:
        """The entry as JSON values."""
        entry = self.entry
        record = {
            "clip": entry.clip,
            "state": entry.state,
            "analysis_id": entry.analysis_id,
            "view": entry.view,
            "subject_id": entry.subject_id,
            "credits": entry.committed,
            "at": entry.at.isoformat(),
            "started_at": entry.started_at and entry.started_at.isoformat(),
            "reason": entry.reason,
            "key": entry.key,
        }
        return {**record, "history": [_past_record(each) for each in self.history]} if history else record


def _past_record(past: HistoryEntry) -> dict[str, Any]:
    return {"at": past.at.isoformat(), "state": past.state, "analysis_id": past.analysis_id, "reason": past.reason}


async def _find_all(journal: Journal, clips: Sequence[str], *, history: bool) -> list[_EntryWithHistory]:
    entries = [each async for each in journal.entries()]
    unknown = [clip for clip in clips if not any(_matches(each, clip) for each in entries)]
    if unknown:
        raise usage_error(f"CLIP: {clip!r} is not in the journal" for clip in unknown)
    wanted = [each for each in entries if not clips or any(_matches(each, clip) for clip in clips)]
    return [_EntryWithHistory(each, await journal.history(each.key) if history else ()) for each in wanted]


async def _find_releasable(journal: Journal, clips: Sequence[str]) -> list[Entry]:
    if clips:
        return [await _find_one(journal, clip, RELEASABLE) for clip in dict.fromkeys(clips)]
    return [each async for each in journal.entries(*UNRESOLVED)]


async def _release(journal: Journal, entries: Iterable[Entry], *, force: bool) -> list[Entry]:
    return [await release(journal, each.key, force=force) for each in entries]


async def _find_one(journal: Journal, clip: str, states: frozenset[State]) -> Entry:
    """The entry of a clip. Of several, only those in one of the states count."""
    matching = [each async for each in journal.entries() if _matches(each, clip)]
    preferred = [each for each in matching if each.state in states] or matching
    if len(preferred) == 1:
        return preferred[0]
    if not preferred:
        raise usage_error([f"CLIP: {clip!r} is not in the journal; `ochy journal show` lists its clips"])
    keys = ", ".join(f"{each.key[:KEY_DIGITS]} ({each.state})" for each in preferred)
    raise usage_error([f"CLIP: {clip!r} matches {len(preferred)} clips; give the first digits of a key: {keys}"])


def _matches(entry: Entry, clip: str) -> bool:
    return entry.clip == clip or (len(clip) >= MIN_KEY_DIGITS and entry.key.startswith(clip.lower()))
