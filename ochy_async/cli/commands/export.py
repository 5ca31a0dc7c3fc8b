"""`ochy export`: writes the landmarks of a results folder for other tools.

Invariant: no key, no network, no credit. What is in the folder stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from ...errors import InvalidSettings, OutputError
from ...protocol.text_summary import count_of, printable
from ...tables.exported import Exported
from ...tables.recordings import RecordingFile, recordings_in
from ..display.terminal import print_message
from ..exit_codes import ExitCode
from ..quoting import shell_quoted
from ..request_options import usage_error

__all__ = ["command"]

Export = Callable[[Sequence[RecordingFile], Path], Exported]
"""Writes recordings to a path: a file where the format has one for all recordings, else a folder."""


class ExportFormat(NamedTuple):
    """One format."""

    module: str
    """The module of `ochy_async.tables` and, below, its function that writes the format."""
    function: str
    target: str
    """The file in the folder, or the folder in it."""
    help: str


FORMATS: Final[Mapping[str, ExportFormat]] = {
    "parquet": ExportFormat(
        "long_tables",
        "write_parquet",
        "landmarks.parquet",
        "All landmarks in one Parquet file. Needs the extra parquet.",
    ),
    "csv-long": ExportFormat("long_tables", "write_long_csv", "landmarks.csv", "All landmarks in one CSV file."),
}
"""The formats, by option."""


def _format_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, each in reversed(FORMATS.items()):
        function = click.option(f"--{name}", "formats", flag_value=name, multiple=True, help=each.help)(function)
    return function


@click.command("export")
@click.argument("results", metavar="RESULTS", type=click.Path(path_type=Path))
@_format_options
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Write to this folder. Default: RESULTS."
)
def command(results: Path, formats: tuple[str, ...], out: Path | None) -> None:
    """Write the landmarks in RESULTS, a folder of `ochy analyze --out`, for other tools. Spends nothing.

    The folder needs the raw data: `ochy analyze CLIP --out RESULTS --keep raw-data`. The files hold health data, and
    only you can read them.

    \b
    Example:
      ochy export results --parquet
    """
    if not formats:
        raise usage_error([f"Choose a format: {', '.join(f'--{name}' for name in FORMATS)}"])
    recordings = _recordings(results)
    exports = [_export(FORMATS[name], recordings, out or results) for name in dict.fromkeys(formats)]
    failed = any(each.failures for each in exports)
    click.get_current_context().exit(ExitCode.SOME_FAILED if failed else ExitCode.OK)


def _recordings(results: Path) -> list[RecordingFile]:
    if found := recordings_in(results):
        return found
    raise OutputError(
        f"{str(results)!r} holds no raw data, so there are no landmarks to export. Nothing was written. Fetch the raw "
        f"data of paid analyses, which costs nothing, with: ochy wait ID --out {shell_quoted(str(results))} --keep raw-data"
    )


def _export(format_: ExportFormat, recordings: Sequence[RecordingFile], folder: Path) -> Exported:
    write: Export = getattr(import_module(f"....tables.{format_.module}", __package__), format_.function)
    try:
        exported = write(recordings, folder / format_.target)
    except ModuleNotFoundError as error:
        missing = InvalidSettings(str(error))
    else:
        _report(exported)
        return exported
    raise missing


def _report(exported: Exported) -> None:
    for failure in exported.failures:
        print_message(f"left out: {failure}")
    for note in exported.notes:
        print_message(note)
    for file in exported.files:
        click.echo(f"{printable(str(file))}: {count_of(exported.recordings, 'recording')}")
