"""`ochy enqueue`: puts clips into the queue that `ochy worker` works on, in the database of the journal.

Invariant: it needs no key, sends nothing to Ochy and spends nothing. Everything that can be refused is refused before
the first clip is stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import click

from ...batch.sources import items
from ...engines.jobs import Job
from ...protocol.text_summary import count_of
from ..display.terminal import print_info, print_message
from ..inputs import FoundClips, find_clips
from ..job_queue import queue_at
from ..journal_place import ENVIRONMENT, JournalPlace, JournalType
from ..request_options import RequestFlags, extra_column_option, request_options

__all__ = ["command"]


@click.command("enqueue")
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True)
@request_options
@extra_column_option
@click.option("--recursive", is_flag=True, help="Also search the subfolders of folders.")
@click.option(
    "--journal",
    type=JournalType(dir_okay=False, path_type=Path),
    metavar="ADDRESS",
    help="postgresql:// address of the journal's database, which also holds the queue. Default: "
    f"{ENVIRONMENT}, which other processes cannot read.",
)
def command(
    clips: tuple[str, ...],
    flags: RequestFlags,
    extra_column: tuple[str, ...],
    recursive: bool,
    journal: JournalPlace | None,
) -> None:
    """Put each CLIP into the queue of `ochy worker`. Sends nothing to Ochy and spends nothing.

    A CLIP is what `ochy analyze` takes: a video, a folder, a quoted pattern, a URL, or a manifest. Workers on other
    machines must find a file under the same path. A clip that is in the queue already, with the same request, is not
    put there again; one that was analyzed before is, and costs nothing.
    """
    queue = queue_at(journal)
    found = find_clips(clips, flags, recursive=recursive, extra_columns=extra_column)
    jobs = anyio.run(_jobs, found)
    added = anyio.run(queue.add, jobs)
    print_message(f"{count_of(added, 'clip')} put into the queue.")
    if added < len(jobs):
        print_info(f"{count_of(len(jobs) - added, 'clip was', 'clips were')} there already.")


async def _jobs(found: FoundClips) -> list[Any]:
    return [Job.of(item) async for item in items(found.clips, None)]
