"""`ochy plot`: writes figures for papers from an output folder.

Invariant: no key, no network, no credit. What is in the folder stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...errors import InvalidSettings
from ...protocol.text_summary import count_of, printable
from ...report import write_figures
from ...report.figure_settings import ANGLES, FORMATS, PER, RESOLUTIONS, USUAL_ANGLES, WIDTHS, checked_angles
from ..display.long_tasks import announce
from ..display.terminal import print_message
from ..exit_codes import ExitCode

__all__ = ["command"]


def _read_angles(_: click.Context, __: click.Parameter, given: str) -> tuple[str, ...]:
    try:
        return checked_angles(word.strip() for word in given.split(","))
    except InvalidSettings as error:
        problem = str(error)
    raise click.BadParameter(problem)


@click.command("plot")
@click.argument("results", metavar="RESULTS", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--what",
    default=",".join(USUAL_ANGLES),
    callback=_read_angles,
    show_default=True,
    metavar="ANGLES",
    help=f"Angles, separated by commas: {', '.join(ANGLES)}, or all. A view has some of them.",
)
@click.option(
    "--per",
    type=click.Choice(PER),
    default=PER[0],
    help="A figure for each analysis (the default), for each runner with their recordings compared, or for the group: "
    "the mean of all runners' means with the SD across runners, for each view.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="Of the files. PDF and SVG are vector graphics.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIRECTORY",
    help="Folder for the figures. Default: the folder figures in RESULTS.",
)
@click.option(
    "--width",
    type=click.FloatRange(*WIDTHS),
    default=85,
    show_default=True,
    metavar="MM",
    help="Width in millimeters: 85 for a column of a journal, 180 for a page.",
)
@click.option(
    "--dpi",
    type=click.IntRange(*RESOLUTIONS),
    default=300,
    show_default=True,
    metavar="NUMBER",
    help="Dots per inch of a PNG.",
)
@click.option("--names", is_flag=True, help="Write the runner's name above each figure. Papers need figures without.")
def command(results: Path, out: Path | None, **settings: Any) -> None:
    """Write figures for papers: joint angles over the gait cycle, left and right, mean and SD.

    RESULTS is a folder of `ochy analyze --out`. It needs the raw data: `ochy analyze CLIP --out RESULTS --keep
    raw-data`. Spends nothing. The figures hold health data, and only you can read them.

    \b
    Examples:
      ochy plot results --what knee,hip --format pdf
      ochy plot results --per group --width 180
    """
    announce(results, "Drawing the figures")
    written = write_figures(results, out, **settings)
    for failure in written.failures:
        print_message(f"left out: {failure}")
    for note in written.notes:
        print_message(note)
    click.echo(f"{printable(str(written.folder))}: {count_of(len(written.files), 'figure')}")
    failed = written.failures or not written.files
    click.get_current_context().exit(ExitCode.SOME_FAILED if failed else ExitCode.OK)
