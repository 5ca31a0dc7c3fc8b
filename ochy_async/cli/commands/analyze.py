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
from ...policy.concurrency import Concurrency
from ...preflight.rules import PREFLIGHT_LEVELS
from ...protocol.text_summary import count_of
from ..batch_run import BatchJob, plan_batch, run_batch
from ..connection import SIMULATED, ConnectionSettings, connection_options
from ..default_journal import create_folder, find_state_journal
from ..display.plan import print_plan, print_planned
from ..display.results import print_outcome
from ..display.terminal import print_info, print_message
from ..exit_codes import ExitCode
from ..groups import option_group
from ..inputs import ANNOTATED, FoundClips, find_clips
from ..output_options import keep_problems, kept_artifacts, output_options
from ..quoting import ShellCommand
from ..request_options import RequestFlags, extra_column_option, request_options, usage_error

__all__ = ["command"]

JOURNAL: Final = "clips.journal"
"""The journal's name in the folder of `--out`."""
_BATCH_SETTINGS: Final = [
    "timeout",
    "tag_starts",
    "retry_refused",
    "same_origin",
    "preflight",
    "wait_for_credits",
    "out",
]
"""Options that are passed to the batch under the same name."""

batch_options = option_group(
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
        type=click.Path(dir_okay=False, path_type=Path),
        help="File that records what is paid for and stores the results. Default: clips.journal in the --out folder, "
        "or else the account's journal in your state folder, which `ochy journal` shows.",
    ),
    click.option("--no-journal", is_flag=True, help="Record nothing. The same command then buys the same clips again."),
    click.option("--again", is_flag=True, help="Analyze finished clips again, for one more credit each."),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for result files and tables."),
    click.option(
        "--max-credits",
        type=click.IntRange(0),
        metavar="N",
        help="Spend at most this many credits: with --journal or --out in all runs together, otherwise in this run.",
    ),
    click.option(
        "--preflight",
        type=click.Choice(PREFLIGHT_LEVELS),
        default="errors",
        show_default=True,
        envvar="OCHY_PREFLIGHT",
        show_envvar=True,
        help="Which findings of `ochy check` stop a clip before it is bought.",
    ),
    click.option("--dry-run", is_flag=True, help="Show what would be bought. Sends and spends nothing."),
    click.option(
        "--list", "listed", is_flag=True, help="With --dry-run: show what would happen to each clip, and why."
    ),
    click.option(
        "--tag-starts",
        is_flag=True,
        help="Link each start to a subject made for this purpose, so that an uncertain start can be looked up exactly.",
    ),
    click.option(
        "--uploads",
        type=click.IntRange(1, 256),
        metavar="N",
        help="Concurrent uploads. Default: adapts to the network.",
    ),
    click.option(
        "--in-flight",
        type=click.IntRange(1, 2_000),
        default=128,
        show_default=True,
        metavar="N",
        help="Maximum number of clips being uploaded or analyzed. More than 32 are used only while the server is idle.",
    ),
    click.option("--retry-refused", is_flag=True, help="Send clips again that the server refused in an earlier run."),
    click.option(
        "--same-account/--other-account",
        default=None,
        help="Say whether a new API key belongs to the account of the existing journal.",
    ),
    click.option(
        "--same-origin", is_flag=True, help="Say that a new base URL leads to the server of the existing journal."
    ),
    click.option(
        "--wait-for-credits",
        type=click.FloatRange(0, 604_800),
        default=0.0,
        metavar="SECONDS",
        help="When the account runs out of credits, wait this long for new ones. Default: stop at once.",
    ),
)


class _RepeatableCommand(click.Command):
    """Stores the typed words, so that the command can be printed for repetition."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        with_value = frozenset(name for each in options if not (each.is_flag or each.count) for name in each.opts)
        ctx.meta[__name__] = ShellCommand(("ochy", "analyze"), tuple(args), with_value)
        return super().parse_args(ctx, args)


@click.command("analyze", cls=_RepeatableCommand)
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True)
@request_options
@extra_column_option
@batch_options
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

    A CLIP is a video, a folder of videos, a quoted pattern such as 'clips/*.mp4', or a manifest: a CSV file with the
    column file, and optionally view, height, weight, pace, treadmill, language, full_body and subject. Other columns
    are copied to the results.

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
    problems += keep_problems(options)
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
        "concurrency": Concurrency(uploads=options["uploads"], in_flight=options["in_flight"]),
        "keep": kept_artifacts(options),
        **{name: options[name] for name in _BATCH_SETTINGS},
        "max_credits": options["max_credits"],
        "same_account": options["same_account"] is True,
    }
    command: ShellCommand = click.get_current_context().meta[__name__]
    return BatchJob(
        clips=found.clips,
        journal=options["journal"] or in_folder,
        settings=settings,
        create_subjects=options["subjects"] == "create",
        again=options["again"],
        # Without --again, the repeated command finishes clips that were reopened; with it, it would buy them once more.
        command=command.without("--again"),
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
    if job.default_journal and job.journal is not None:
        create_folder(job.journal)
    if options["out"] is not None:
        try:
            options["out"].mkdir(parents=True, exist_ok=True)
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
