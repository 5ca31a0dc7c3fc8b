"""`ochy analyze`: clips, folders and manifests in, results out, one credit for each clip.

Invariant: everything that can be refused is refused before the first byte is sent, and the same
command again goes on where this one ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import click
from attrs import asdict, evolve

from ...batch.dry_run import Planned
from ...batch.report import Plan
from ...policy.concurrency import Concurrency
from ...preflight.rules import PREFLIGHT_LEVELS
from ..batch_run import Job, carry_out, plan
from ..connection import Account, account_options
from ..default_journal import make_folder, state_journal
from ..display.plan import show_planned
from ..display.reporter import draw, inform, tell
from ..display.tables import Sheet
from ..exit_codes import Exit
from ..inputs import WRITTEN, Found, find
from ..output_options import FEW, KEEP, homeless, keep_option, output_options, show
from ..quoting import Command
from ..request_options import Asked, extra_column_option, refuse, request_options

__all__ = ["command"]

NOT_REAL: Final = "The numbers come from an emulator: they are made up and fit for nobody's body. No credit is spent."
JOURNAL: Final = "clips.journal"
"""The journal's name in the folder of `--out`."""
_FIELDS: Final = (
    "height",
    "weight",
    "pace",
    "treadmill",
    "language",
    "full_body",
    "subject_id",
    "notify_via_webhook",
)

_PASSED: Final = ("timeout", "tag_starts", "retry_refused", "same_origin", "preflight")
"""What a batch calls as the flags do."""

_BATCH_OPTIONS: Final = (
    click.option(
        "--subjects",
        type=click.Choice(("ids", "create")),
        default="ids",
        show_default=True,
        help="Whether subjects are ids, or names too: those that no subject has are created.",
    ),
    click.option("--recursive", is_flag=True, help="Look into the folders of folders too."),
    click.option(
        "--journal",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Remembers what is paid, and holds the results. Default: clips.journal in --out, else one for the account "
        "in your state folder, which `ochy journal` shows.",
    ),
    click.option("--no-journal", is_flag=True, help="Remember nothing: the same command buys the same clips again."),
    click.option(
        "--again",
        is_flag=True,
        help="Analyze finished clips anew, for one credit more each.",
    ),
    click.option(
        "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for results and tables over all clips."
    ),
    keep_option,
    click.option(
        "--max-credits",
        type=click.IntRange(0),
        metavar="N",
        help="Credits that may be spent: with --journal or --out by all runs together, else by this run.",
    ),
    click.option(
        "--preflight",
        type=click.Choice(PREFLIGHT_LEVELS),
        default="errors",
        show_default=True,
        envvar="OCHY_PREFLIGHT",
        show_envvar=True,
        help="What stops a clip before it is bought; see `ochy check`.",
    ),
    click.option("--dry-run", is_flag=True, help="Tell what would be bought. Sends and spends nothing."),
    click.option(
        "--list", "listed", is_flag=True, help="With --dry-run: tell for each clip what would become of it, and why."
    ),
    click.option(
        "--tag-starts",
        is_flag=True,
        help="Give each upload lane a subject of its own, so that a start in doubt is looked up exactly.",
    ),
    click.option("--uploads", type=click.IntRange(1, 256), metavar="N", help="Uploads at once. Default: it adapts."),
    click.option(
        "--in-flight",
        type=click.IntRange(1, 2_000),
        default=128,
        show_default=True,
        metavar="N",
        help="Clips that are sent or analyzed at once, at most: beyond 32 only while the server is idle.",
    ),
    click.option("--retry-refused", is_flag=True, help="Send again what the server refused in an earlier run."),
    click.option(
        "--same-account/--other-account",
        default=None,
        help="The key is new here: whether its account is the one of the journal that is there.",
    ),
    click.option(
        "--same-origin", is_flag=True, help="The base URL is another one and leads to the server of the journal."
    ),
    click.option(
        "--wait-for-credits",
        type=click.FloatRange(0, 604_800),
        default=0.0,
        metavar="SECONDS",
        help="Pause starts for so long once the account is empty.",
    ),
)


def batch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what is for many clips."""
    for option in reversed(_BATCH_OPTIONS):
        command = option(command)
    return command


class _Repeatable(click.Command):
    """Remembers its words, to tell them as the command that goes on."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        valued = frozenset(name for each in options if not (each.is_flag or each.count) for name in each.opts)
        ctx.meta[__name__] = Command(("ochy", "analyze"), tuple(args), valued)
        return super().parse_args(ctx, args)


@click.command("analyze", cls=_Repeatable)
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True)
@request_options
@extra_column_option
@batch_options
@output_options
@account_options
@click.option(
    "--emulator", "made_up", is_flag=True, help="Use a built-in emulator: no key, no credit, made-up numbers."
)
def command(clips: tuple[str, ...], as_json: bool, made_up: bool, **options: Any) -> None:
    """Analyze each CLIP (MP4, MOV, AVI or WEBM, at most 30 MB and 10 s). Costs one credit for each.

    A CLIP is a video, a folder of videos, a quoted pattern such as 'clips/*.mp4', or a manifest: a CSV file
    with the column file, and view, height, weight, pace, treadmill, language, full_body, subject as needed. Any further
    column comes back in the results.
    The same content with the same request is bought once, however often it is named or the command repeated: what is
    paid is remembered in a journal, results included, which is health data. --again buys it anew.

    Press Ctrl-C once to finish what is under way and stop, again to stop at once. The same command goes on.
    """
    _check(made_up, options)
    asked = Asked(options["view"], {name: options[name] for name in _FIELDS})
    found = find(clips, asked, recursive=options["recursive"], extra_columns=options["extra_column"])
    job = _job(found, made_up, options)
    account = Account(
        base_url=options["base_url"], key_file=options["key_file"], made_up=made_up, interval=options["interval"]
    )
    if made_up:
        tell(NOT_REAL)
    if found.repeated:
        inform(f"Named more than once: {found.repeated}; each clip is taken once.")
    if found.written:
        inform(f"{found.written} videos are left out, as a run has written them ({WRITTEN}).")
    job = _remembering(job, account, options)
    if options["dry_run"]:
        rows = partial(show_planned, as_json=as_json) if options["listed"] else _pass
        code = _show_plan(plan(job, account, rows), options, as_json=as_json)
    else:
        _prepare(job, made_up, options)
        code = carry_out(job, account, partial(show, as_json=as_json, few=len(job.clips) <= FEW))
    click.get_current_context().exit(code)


def _check(made_up: bool, options: Mapping[str, Any]) -> None:
    """Refuses flags that do not go together."""
    problems: list[str] = []
    if made_up and options["journal"] is not None:
        problems.append("--journal: the built-in emulator forgets all with the run; `ochy emulator` runs on by itself")
    if options["no_journal"] and options["journal"] is not None:
        problems.append("--no-journal: contradicts --journal")
    if options["again"] and (options["no_journal"] or made_up):
        problems.append("--again: needs a journal; without one every clip is analyzed anew each time")
    if options["listed"] and not options["dry_run"]:
        problems.append("--list: is for --dry-run; a run shows each clip anyway")
    problems += homeless(options)
    if problems:
        raise refuse(problems)


def _job(found: Found, made_up: bool, options: Mapping[str, Any]) -> Job:
    out: Path | None = options["out"]
    usual = out / JOURNAL if out is not None and not (made_up or options["no_journal"]) else None
    tabled = options["calculated"] or out is not None  # cadence and the like stand in the table
    keep = [KEEP[each] for each in options["keep"]] + ["calculated"] * tabled
    settings: dict[str, Any] = {
        "concurrency": Concurrency(uploads=options["uploads"], in_flight=options["in_flight"]),
        "out": out,
        "keep": tuple(dict.fromkeys(keep)),
        **{name: options[name] for name in _PASSED},
        "wait_for_credits": options["wait_for_credits"],
        "max_credits": options["max_credits"],
        "same_account": options["same_account"] is True,
    }
    command: Command = click.get_current_context().meta[__name__]
    return Job(
        clips=found.clips,
        journal=options["journal"] or usual,
        settings=settings,
        create_subjects=options["subjects"] == "create",
        again=options["again"],
        # What was opened to be bought anew is finished by the command without the word, and bought once more by it.
        command=command.without("--again"),
    )


def _remembering(job: Job, account: Account, options: Mapping[str, Any]) -> Job:
    """The job with the journal of the account, where nobody has named one. A limit is for this run then."""
    if job.journal is not None or account.made_up or options["no_journal"]:
        return job
    said = {"same": options["same_account"], "same_origin": options["same_origin"]}
    path = anyio.run(partial(state_journal, *account.identity(), **said))
    given = (("--key-file", account.key_file), ("--base-url", account.base_url))
    return evolve(
        job,
        journal=path,
        in_state=True,
        journal_options=tuple(word for name, value in given if value for word in (name, value)),
        settings={**job.settings, "max_credits": None, "max_credits_per_run": options["max_credits"]},
    )


def _prepare(job: Job, made_up: bool, options: Mapping[str, Any]) -> None:
    """Makes the folders, and says what a run without a journal cannot do."""
    if job.in_state and job.journal is not None:
        make_folder(job.journal)
    if options["out"] is not None:
        try:
            options["out"].mkdir(parents=True, exist_ok=True)
        except OSError as trouble:
            raise refuse([f"--out: {str(options['out'])!r} cannot be made: {trouble.strerror}"]) from None
    if job.journal is None and len(job.clips) > 1 and not made_up:
        inform("With --no-journal nothing is remembered: a run that is killed cannot be resumed.")


def _pass(_: Planned) -> None:
    """Clips are told one by one only if asked for."""


def _show_plan(planned: Plan, options: Mapping[str, Any], *, as_json: bool) -> Exit:
    """The plan on stdout; the exit code says whether any clip is refused."""
    most, listed = options["max_credits"], options["listed"]
    counts = {name: count for name, count in asdict(planned).items() if name != "refusals"}
    if as_json and listed:  # stdout is for the clips then, one object a line
        tell(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count))
    elif as_json:
        click.echo(json.dumps({**counts, "refusals": planned.refusals}))
    else:
        rows = tuple((name.replace("_", " "), str(count), _MEANINGS[name]) for name, count in counts.items())
        draw(Sheet("What the run would do; nothing was sent or spent", ("clips", "count", "meaning"), rows))
        for refusal in planned.refusals if not listed else ():
            tell(refusal)
    if most is not None and planned.to_buy > most:
        tell(f"--max-credits {most} does not allow for all of them.")
    return Exit.SOME_FAILED if planned.refused else Exit.OK


_MEANINGS: Final = {
    "to_buy": "would be started, one credit each",
    "done": "have their results already",
    "paid": "are paid and would be collected",
    "uncertain": "may have been charged: would be looked up, not bought",
    "failed": "failed at the vendor's, and are not bought again",
    "refused": "cannot be sent, or were refused before",
    "duplicates": "are the same clip and request as another: not bought again",
}
