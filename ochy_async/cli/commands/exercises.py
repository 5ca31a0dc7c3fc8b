"""`ochy exercises`: the exercises that belong to the search keys of results.

Invariant: a link that could be signed is never printed.
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
from ..api_call import call_options, perform
from ..connection import Account
from ..display.json_lines import print_records, record
from ..display.reporter import draw, inform
from ..display.tables import NOTHING, Sheet, filled
from ..request_options import refuse

__all__ = ["command"]

LARGEST: Final = 16_000_000
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
    help="Take the search keys from a kept results file; may be given more than once.",
)
@click.option("--language", default="en", show_default=True, metavar="|".join(LANGUAGES), help="Of the texts.")
@call_options
def command(keys: tuple[str, ...], files: tuple[Path, ...], language: str, as_json: bool, **account: Any) -> None:
    """Show the exercises for search keys such as HeadG or PelvicB. Spends nothing.

    Newer results name their search keys; --from reads them out of a results file that `ochy analyze --out`
    has kept. The vendor answers in English for a language that it does not know.

    \b
    Example:
      ochy exercises HeadG PelvicB --language fr
    """
    wanted = tuple(dict.fromkeys((*keys, *(key for file in files for key in _keys_in(file)))))
    if not wanted:
        raise click.UsageError("Give search keys such as HeadG, or a results file with --from.")
    exercises = perform(Account(**account), lambda ochy: ochy.exercises(wanted, language=language))
    if as_json:
        print_records(map(_record, exercises))
    elif exercises:
        draw(_sheet(exercises))
    else:
        inform("The vendor has no exercises for these keys. Keys are case-sensitive; results name theirs.")


def _keys_in(path: Path) -> list[str]:
    """The search keys of kept results, in their order. Raises a usage error for a file without any."""
    try:
        with path.open("rb") as file:
            found = list(_search_keys(json.loads(file.read(LARGEST))))
    except OSError as trouble:
        raise refuse([f"--from: {str(path)!r} cannot be read: {trouble.strerror}"]) from None
    except (ValueError, RecursionError):
        raise refuse([f"--from: {str(path)!r} is not JSON; give a file of results"]) from None
    if not found:
        raise refuse([f"--from: {str(path)!r} names no search keys; only newer results do"])
    return found


def _search_keys(value: Any) -> Iterator[str]:
    """Every text under a `search_key`, wherever it stands: both views nest it differently."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            named = each.get("search_key")
            yield from (key for key in (named if isinstance(named, list) else [named]) if key and isinstance(key, str))
        waiting += reversed(list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else [])


# --- paper and JSON -------------------------------------------------------------------------------


def _record(exercise: Exercise) -> dict[str, Any]:
    told = record(exercise)
    if exercise.media is not None:
        told["media"] |= {name: _shown(getattr(exercise.media, name)) for name in _MEDIA}
    return told


def _shown(link: str | None) -> str | None:
    return link if link is None or is_unsigned(link) else MASK


def _sheet(exercises: tuple[Exercise, ...]) -> Sheet:
    title = f"{len(exercises)} exercise{'' if len(exercises) == 1 else 's'}"
    columns = ("exercise", "difficulty", "form", "series", "each")
    notes = ("Links to pictures and films: --json",) if any(each.media for each in exercises) else ()
    return filled(Sheet(title, columns, tuple(map(_row, exercises)), notes))


def _row(exercise: Exercise) -> tuple[str, ...]:
    return (
        exercise.title or NOTHING,
        exercise.difficulty or NOTHING,
        exercise.exercise_format or NOTHING,
        NOTHING if exercise.number_of_series is None else f"{exercise.number_of_series:g}",
        _seconds(exercise.effort_per_rep),
    )


def _seconds(effort: EffortPerRep | None) -> str:
    """How long one repetition takes."""
    ends = () if effort is None else (effort.min_ms, effort.max_ms)
    known = [f"{end / 1000:g}" for end in ends if end is not None]
    return f"{' to '.join(dict.fromkeys(known))} s" if known else NOTHING
