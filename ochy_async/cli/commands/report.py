"""`ochy report`: writes pages about an output folder.

Invariant: it reads and writes files of this machine only; it needs no key and sends nothing.
"""

from __future__ import annotations

from pathlib import Path

import click

from ...report import write_report
from ..display.long_tasks import announce
from ..display.terminal import print_info

__all__ = ["command"]


@click.command("report")
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIRECTORY",
    help="Folder for the pages. Default: the folder report in RESULTS.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="CSV file of your own with the ranges of metrics, which pages show beside the numbers: the columns metric, "
    "low, high, unit, source. docs/how-to/report.md describes it.",
)
@click.option("--open", "show", is_flag=True, help="Also open the overview in the browser.")
def command(results: Path, out: Path | None, reference: Path | None, show: bool) -> None:
    """Write a report on RESULTS, the folder that a run with --out has filled: an overview and a page for each analysis.

    Prints the path of the overview. The pages need no server and no network, and hold health data, so only you may
    read them. Curves and the moving figure need landmarks: analyze with --keep raw-data, which costs no credit for
    analyses that are already paid for, or with --report, which also writes the report at the end. Spends nothing and
    sends nothing.

    \b
    Example:
      ochy analyze clips --view side --out results --keep raw-data
      ochy report results
    """
    announce(results, "Writing the report")
    overview = write_report(results, out, reference=reference)
    click.echo(str(overview))
    if show and click.launch(overview.resolve().as_uri()):
        print_info("No browser could be opened. Open the file yourself.")
