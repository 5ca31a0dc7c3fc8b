"""`ochy exercises`: shows the exercises for the search keys in results.

Invariant: a link that may be signed is never printed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from ...protocol.exercises import EffortPerRep, Exercise
from ...protocol.redaction import MASK, is_unsigned
from ...protocol.request import LANGUAGES
from ...protocol.text_summary import NOTHING, count_of
from ..api_call import call_api, call_options
from ..connection import ConnectionSettings
from ..display.json_lines import answer_record, print_records
from ..display.tables import TextTable, print_table, without_empty_columns
from ..display.terminal import print_info
from ..request_options import usage_error

__all__ = ["command"]

MAX_BYTES: Final = 16_000_000
"""Bytes of a results file that are read."""
_MEDIA: Final = ("image", "video", "video_portrait")


@click.command("exercises")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@click.option(
    "--from",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Read the search keys from a saved results file. May be repeated.",
)
@click.option("--language", default="en", show_default=True, metavar="|".join(LANGUAGES), help="Language of the texts.")
@call_options
def command(
    keys: tuple[str, ...], files: tuple[Path, ...], language: str, as_json: bool, connection: ConnectionSettings
) -> None:
    """Show the exercises for search keys such as HeadG or PelvicB. Spends nothing.

    Newer results contain search keys; --from reads them from a results file that `ochy analyze --out` has saved. The
    vendor answers in English for a language that it does not know.

    \b
    Example:
      ochy exercises HeadG PelvicB --language fr
    """
    wanted = tuple(dict.fromkeys((*keys, *(key for file in files for key in _keys_in(file)))))
    if not wanted:
        raise click.UsageError("Give search keys such as HeadG, or a results file with --from.")
    exercises = call_api(connection, lambda ochy: ochy.exercises(wanted, language=language))
    if as_json:
        print_records(map(_record, exercises))
    elif exercises:
        print_table(_table(exercises))
    else:
        print_info("The vendor has no exercises for these keys. Keys are case-sensitive; copy them from results.")


def _keys_in(path: Path) -> list[str]:
    """The search keys in a results file, in its order. Raises a usage error if there are none."""
    try:
        with path.open("rb") as file:
            found = list(_search_keys(json.loads(file.read(MAX_BYTES))))
    except OSError as error:
        raise usage_error([f"--from: {str(path)!r} cannot be read: {error.strerror}"]) from None
    except (ValueError, RecursionError):
        raise usage_error([f"--from: {str(path)!r} is not JSON; give a results file"]) from None
    if not found:
        raise usage_error([f"--from: {str(path)!r} contains no search keys; only newer results do"])
    return found


def _search_keys(value: Any) -> Iterator[str]:
    """Every text under a key `search_key` at any depth: the two views nest it differently."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            named = each.get("search_key")
            yield from (key for key in (named if isinstance(named, list) else [named]) if key and isinstance(key, str))
        pending += reversed(list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else [])


# --- output ---------------------------------------------------------------------------------------


def _record(exercise: Exercise) -> dict[str, Any]:
    record = answer_record(exercise)
    if exercise.media is not None:
        record["media"] |= {name: _mask_signed(getattr(exercise.media, name)) for name in _MEDIA}
    return record


def _mask_signed(link: str | None) -> str | None:
    return link if link is None or is_unsigned(link) else MASK


def _table(exercises: tuple[Exercise, ...]) -> TextTable:
    title = count_of(len(exercises), "exercise")
    columns = ("exercise", "difficulty", "form", "series", "each")
    notes = ("For links to pictures and videos: --json",) if any(each.media for each in exercises) else ()
    return without_empty_columns(TextTable(title, columns, tuple(map(_row, exercises)), notes))


def _row(exercise: Exercise) -> tuple[str, ...]:
    return (
        exercise.title or NOTHING,
        exercise.difficulty or NOTHING,
        exercise.exercise_format or NOTHING,
        NOTHING if exercise.number_of_series is None else f"{exercise.number_of_series:g}",
        _seconds(exercise.effort_per_rep),
    )


def _seconds(effort: EffortPerRep | None) -> str:
    """The duration of one repetition."""
    limits = () if effort is None else (effort.min_ms, effort.max_ms)
    known = [f"{limit / 1000:g}" for limit in limits if limit is not None]
    return f"{' to '.join(dict.fromkeys(known))} s" if known else NOTHING
