"""`ochy export`: writes the landmarks of a results folder for other tools.

Invariant: no key, no network, no credit. What is in the folder stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from attrs import evolve

from ...batch.output.folder import output_errors
from ...durable_files import private_folder
from ...errors import InvalidSettings, OutputError
from ...protocol.request import HEIGHT_METERS, quantity_problems
from ...protocol.text_summary import count_of, printable
from ...tables import (
    Exported,
    RecordingFile,
    recordings_in,
    write_c3d,
    write_long_csv,
    write_mot,
    write_openpose,
    write_parquet,
    write_trc,
)
from ..display.long_tasks import announce
from ..display.terminal import print_message
from ..exit_codes import ExitCode
from ..quoting import command_line
from ..request_options import as_flag_problem, measure_option, usage_error

__all__ = ["command"]

MOST_FPS: Final = 10_000
NOTHING: Final = "Nothing was written."

Export = Callable[[Sequence[RecordingFile], Path], Exported]
"""Writes recordings to a path: a file where the format has one for all recordings, else a folder."""


class ExportFormat(NamedTuple):
    """One format."""

    write: Export
    target: str
    """The name of what it writes: a file, or a folder."""
    help: str


FORMATS: Final[Mapping[str, ExportFormat]] = {
    "parquet": ExportFormat(
        write_parquet, "landmarks.parquet", "All landmarks in one Parquet file. Needs the extra parquet."
    ),
    "csv-long": ExportFormat(write_long_csv, "landmarks.csv", "All landmarks in one CSV file."),
    "trc": ExportFormat(write_trc, "trc", "Positions of markers for OpenSim and Pose2Sim, a file for each recording."),
    "mot": ExportFormat(write_mot, "mot", "Joint angles in degrees for OpenSim, a file for each recording."),
    "c3d": ExportFormat(
        write_c3d, "c3d", "Positions of markers as C3D, a file for each recording. Needs the extra c3d."
    ),
    "openpose": ExportFormat(
        write_openpose, "openpose", "OpenPose's JSON, a folder for each recording with a file for each frame."
    ),
}
"""The formats, by option."""


def _format_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, each in reversed(tuple(FORMATS.items())):
        function = click.option(f"--{name}", "formats", flag_value=name, multiple=True, help=each.help)(function)
    return function


@click.command("export")
@click.argument("results", metavar="RESULTS", type=click.Path(path_type=Path))
@_format_options
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Write to this folder. Default: RESULTS."
)
@click.option(
    "--fps",
    type=float,
    metavar="NUMBER",
    help="Frames per second, where the raw data has none or a wrong one.",
)
@measure_option("height", "METERS", "Height of the runner, such as 1.75 or '175 cm'. Default: that of the request.")
def command(results: Path, formats: tuple[str, ...], out: Path | None, fps: float | None, height: Any) -> None:
    """Write the landmarks in RESULTS, a folder of `ochy analyze --out`, for other tools. Spends nothing.

    The folder needs the raw data: `ochy analyze CLIP --out RESULTS --keep raw-data`. The files hold health data, and
    only you can read them.

    \b
    Examples:
      ochy export results --parquet
      ochy export results --trc --mot --height 1.82
    """
    if not formats:
        raise usage_error([f"Choose a format: {', '.join(f'--{name}' for name in FORMATS)}"], NOTHING)
    if fps is not None and not 0 < fps <= MOST_FPS:
        raise usage_error([f"--fps: must be a number above 0, at most {MOST_FPS:,}"], NOTHING)
    stated = _checked(height)
    recordings = [
        evolve(recording, fps=fps, height=recording.height if stated is None else stated)
        for recording in _recordings(results)
    ]
    folder = out or results
    with output_errors(folder):
        private_folder(folder)
    announce(results, "Writing the files")
    exports = [_export(FORMATS[name], recordings, folder) for name in dict.fromkeys(formats)]
    failed = any(each.failures for each in exports)
    click.get_current_context().exit(ExitCode.SOME_FAILED if failed else ExitCode.OK)


def _checked(height: Any) -> float | None:
    """The height, if it was given. Raises a usage error if it is none."""
    if height is None:
        return None
    if problems := list(quantity_problems("height", height, HEIGHT_METERS, "meters", 100, "centimeters")):
        raise usage_error(map(as_flag_problem, problems), NOTHING)
    return float(height)


def _recordings(results: Path) -> list[RecordingFile]:
    if found := recordings_in(results):
        return found
    raise OutputError(
        f"{str(results)!r} holds no raw data, so there are no landmarks to export. Nothing was written. Fetch the raw "
        "data of paid analyses, which costs nothing, with: "
        f"{command_line('ochy', 'wait', 'ID', '--out', str(results), '--keep', 'raw-data')}"
    )


def _export(format_: ExportFormat, recordings: Sequence[RecordingFile], folder: Path) -> Exported:
    try:
        exported = format_.write(recordings, folder / format_.target)
    except ModuleNotFoundError as error:
        missing = InvalidSettings(str(error))
    else:
        _report(exported, folder / format_.target)
        return exported
    raise missing


def _report(exported: Exported, path: Path) -> None:
    for failure in exported.failures:
        print_message(f"{path.name}: left out: {failure}")
    for note in exported.notes:
        print_message(f"{path.name}: {note}")
    click.echo(f"{printable(str(path))}: {count_of(exported.recordings, 'recording')}")
