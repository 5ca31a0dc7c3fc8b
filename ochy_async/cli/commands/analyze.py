"""`ochy analyze`: analyzes clips, folders and manifests, for one credit per clip.

Invariant: everything that can be refused is refused before the first byte is sent, and the same command run again
continues an unfinished run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import click
from attrs import evolve

from ...batch.dry_run import Planned
from ...durable_files import private_folder
from ...protocol.text_summary import count_of
from ..batch_run import BatchJob, plan_batch, run_batch
from ..buying_options import buying_options, buying_settings
from ..ceiling_options import ceiling_options, with_ceilings
from ..connection import SIMULATED, ConnectionSettings, connection_options
from ..default_journal import create_folder, find_state_journal
from ..display.plan import print_plan, print_planned
from ..display.results import print_outcome
from ..display.terminal import print_info, print_message
from ..exit_codes import ExitCode
from ..final_report import write_final_report
from ..groups import CommandDecorator, option_group
from ..inputs import ANNOTATED, FoundClips, find_clips
from ..journal_place import ENVIRONMENT, JournalPlace, JournalType, environment_journal
from ..output_options import kept_artifacts, output_options, output_problems
from ..repeatable import RepeatableCommand, typed_command
from ..request_options import RequestFlags, extra_column_option, request_options, usage_error

__all__ = ["command"]

JOURNAL: Final = "clips.journal"
"""The journal's name in the folder of `--out`."""
batch_options: CommandDecorator = option_group(
    click.option(
        "--subjects",
        type=click.Choice(("ids", "create")),
        default="ids",
        show_default=True,
        help="Whether subjects are given as ids, or also by name; 'create' creates subjects for new names.",
    ),
    click.option("--recursive", is_flag=True, help="Also search the subfolders of folders."),
    click.option(
        "--journal",
        type=JournalType(dir_okay=False, path_type=Path),
        help="File, or postgresql:// address of a database, that records what is paid for and stores the results. "
        f"Default: {ENVIRONMENT}, or else clips.journal in the --out folder, or else the account's journal in your "
        "state folder, which `ochy journal` shows. Other processes can read an address that is typed: set "
        f"{ENVIRONMENT} instead.",
    ),
    click.option("--no-journal", is_flag=True, help="Record nothing. The same command then buys the same clips again."),
    click.option(
        "--rehash",
        is_flag=True,
        help="Read the files of all clips. Default: those of analyzed clips only if size, times or inode changed.",
    ),
    click.option("--again", is_flag=True, help="Analyze finished clips again, for one more credit each."),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for result files and tables."),
    click.option(
        "--max-credits",
        type=click.IntRange(0),
        metavar="N",
        help=f"Spend at most this many credits: with --journal, {ENVIRONMENT} or --out in all runs of that journal "
        "together, otherwise in this run.",
    ),
    click.option("--dry-run", is_flag=True, help="Show what would be bought. Sends and spends nothing."),
    click.option(
        "--list", "listed", is_flag=True, help="With --dry-run: show what would happen to each clip, and why."
    ),
)


@click.command("analyze", cls=RepeatableCommand)
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True)
@request_options
@extra_column_option
@batch_options
@buying_options
@ceiling_options
@output_options
@connection_options
@click.option(
    "--emulator", "simulated", is_flag=True, help="Use the built-in emulator: no key, no credits, simulated results."
)
def command(
    clips: tuple[str, ...],
    flags: RequestFlags,
    connection: ConnectionSettings,
    as_json: bool,
    simulated: bool,
    **options: Any,
) -> None:
    """Analyze each CLIP (MP4, MOV, AVI or WEBM, at most 30 MB and 10 s). Costs one credit per clip.

    A CLIP is a video, a folder of videos, a quoted pattern such as 'clips/*.mp4', a URL in an object store such as
    s3://bucket/clips/, or a manifest: a CSV file with the column file, and optionally view, height, weight, pace,
    treadmill, language, full_body and subject. Other columns are copied to the results.

    The same content with the same request is bought once, however often you name it or run the command: a journal
    records what is paid for. It also stores the results, which are health data. --again buys clips anew.

    Press Ctrl-C once to finish work in flight and stop, again to stop immediately. Run the same command again to
    resume.
    """
    _check_options(simulated, options)
    found = find_clips(clips, flags, recursive=options["recursive"], extra_columns=options["extra_column"])
    connection = evolve(connection, simulated=simulated, interval=options["interval"])
    if simulated:
        print_message(SIMULATED)
    _print_skipped(found)
    job = _with_default_journal(_job(found, simulated, options), connection, options)
    if options["dry_run"]:
        code = _dry_run(job, connection, options, as_json=as_json)
    else:
        _prepare(job, simulated, options)
        code = run_batch(job, connection, partial(print_outcome, as_json=as_json, of=len(job.clips)))
        if options["report"]:
            code = write_final_report(options["out"], code)
    click.get_current_context().exit(code)


def _check_options(simulated: bool, options: Mapping[str, Any]) -> None:
    """Refuses options that contradict each other."""
    problems: list[str] = []
    if simulated and options["journal"] is not None:
        problems.append(
            "--journal: cannot be used with --emulator, which forgets everything; use `ochy emulator` instead"
        )
    if options["no_journal"] and options["journal"] is not None:
        problems.append("--no-journal: contradicts --journal")
    if options["again"] and (options["no_journal"] or simulated):
        problems.append("--again: needs a journal; without one every clip is analyzed again anyway")
    if options["listed"] and not options["dry_run"]:
        problems.append("--list: needs --dry-run; a run shows each clip anyway")
    problems += output_problems(options)
    if problems:
        raise usage_error(problems)


def _print_skipped(found: FoundClips) -> None:
    if found.repeated:
        print_info(f"{count_of(found.repeated, 'clip')} named more than once; each is used once.")
    if found.annotated:
        videos = count_of(found.annotated, "annotated video")
        print_info(f"{videos} from an earlier run left out (names that end in {ANNOTATED}).")


def _job(found: FoundClips, simulated: bool, options: Mapping[str, Any]) -> BatchJob:
    out: Path | None = options["out"]
    in_folder = out / JOURNAL if out is not None and not (simulated or options["no_journal"]) else None
    settings: dict[str, Any] = {
        **buying_settings(options),
        "keep": kept_artifacts(options),
        "out": options["out"],
        "max_credits": options["max_credits"],
        "rehash": options["rehash"],
    }
    named: JournalPlace | None = options["journal"]
    usual = None if named is not None or simulated or options["no_journal"] else environment_journal()
    return BatchJob(
        clips=found.clips,
        journal=with_ceilings(named or usual or in_folder, options),
        environment_journal=usual is not None,
        settings=settings,
        create_subjects=options["subjects"] == "create",
        again=options["again"],
        # Without --again, the repeated command finishes clips that were reopened; with it, it would buy them once more.
        command=typed_command().without("--again"),
    )


def _with_default_journal(job: BatchJob, connection: ConnectionSettings, options: Mapping[str, Any]) -> BatchJob:
    """The job with the account's journal if the user named none. --max-credits then limits this run alone."""
    if job.journal is not None or connection.simulated or options["no_journal"]:
        return job
    given = {name: options[name] for name in ("same_account", "same_origin")}
    path = anyio.run(partial(find_state_journal, *connection.account_and_origin(), **given))
    named = (("--key-file", connection.key_file), ("--base-url", connection.base_url))
    return evolve(
        job,
        journal=path,
        default_journal=True,
        journal_options=tuple(word for name, value in named if value for word in (name, value)),
        settings={**job.settings, "max_credits": None, "max_credits_per_run": options["max_credits"]},
    )


def _prepare(job: BatchJob, simulated: bool, options: Mapping[str, Any]) -> None:
    """Creates the folders, and warns about a run without a journal."""
    if job.default_journal and isinstance(job.journal, Path):
        create_folder(job.journal)
    if options["out"] is not None:
        try:
            private_folder(options["out"])
        except OSError as error:
            raise usage_error([f"--out: {str(options['out'])!r} cannot be created: {error.strerror}"]) from None
    if job.journal is None and len(job.clips) > 1 and not simulated:
        print_info("With --no-journal nothing is recorded: a run that is killed cannot be resumed.")


def _dry_run(job: BatchJob, connection: ConnectionSettings, options: Mapping[str, Any], *, as_json: bool) -> ExitCode:
    """Prints the plan. The exit code says whether any clip is refused."""
    limit, listed = options["max_credits"], options["listed"]

    def show(planned: Planned) -> None:
        if listed:
            print_planned(planned, as_json=as_json)

    plan = plan_batch(job, connection, show)
    print_plan(plan, as_json=as_json, listed=listed)
    if limit is not None and plan.to_buy > limit:
        print_message(f"--max-credits {limit} does not cover all of them.")
    return ExitCode.SOME_FAILED if plan.refused else ExitCode.OK
