"""How much memory an export to Parquet takes, of 30 and of 300 recordings.

Each run has a process of its own: `python -m benchmarks.exports CONTENDER` prints the peak of its resident memory, less
what the process had with the libraries loaded and one recording exported.

Invariant: all contenders write one row for each landmark of each frame of their recordings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ochy_async.emulator.biomechanics.runner import runner_of
from ochy_async.emulator.raw_data import raw_data
from ochy_async.tables import RecordingFile, recordings_in, write_parquet

from .comparison import OURS, Figure, Goal, Table, alternate
from .machine import peak_memory

__all__ = ["benchmarks"]

FEW: Final = 30
MANY: Final = 300
SECONDS: Final = 4
GOAL: Final = 10.0
"""MB."""
Write = Callable[[Sequence[RecordingFile], Path], object]


def _one_table(recordings: Sequence[RecordingFile], path: Path) -> None:
    """What a notebook does: all recordings as one table, which is then written."""
    pq.write_table(pa.concat_tables(map(_table, recordings)), path, compression="zstd")


def _table(recording: RecordingFile) -> Any:
    table = pa.table(recording.load())
    return table.append_column("analysis", pa.array([recording.analysis_id] * len(table)))


CONTENDERS: Final[Mapping[str, tuple[int, Write]]] = {
    f"one table of {MANY} recordings": (MANY, _one_table),
    f"{OURS}, {FEW} recordings": (FEW, write_parquet),
    f"{OURS}, {MANY} recordings": (MANY, write_parquet),
}


def main() -> None:
    """Runs one contender in this process."""
    count, write = CONTENDERS[sys.argv[1]]
    with tempfile.TemporaryDirectory() as name:
        folder, target = Path(name), Path(name, "landmarks.parquet")
        rows = _write_recordings(folder, count)
        recordings = recordings_in(folder)
        write(recordings[:1], target)
        before = peak_memory()
        write(recordings, target)
        if pq.ParquetFile(target).metadata.num_rows != rows:
            raise AssertionError(f"{sys.argv[1]} did not write {rows} rows")
    print(json.dumps(peak_memory() - before))


def _write_recordings(folder: Path, count: int) -> int:
    """Writes this many files of raw data, and returns the number of all landmarks in them."""
    runner = runner_of(b"benchmark", height=1.75, weight=68, pace=None)
    sent = raw_data(runner, view="side_view", fps=60, seconds=SECONDS, width=1920, height=1080)
    first = folder / "0.raw_data.json"
    first.write_text(json.dumps(sent))
    for number in range(1, count):
        os.link(first, folder / f"{number}.raw_data.json")
    return count * sum(map(len, sent["frames"].values()))


def _measured(contender: str) -> float:
    command = [sys.executable, "-m", f"{__package__}.exports", contender]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603 - our own program


def benchmarks(rounds: int) -> Iterator[Table]:
    """MB that an export needs beyond what it needs for one recording."""
    peaks = alternate({contender: partial(_measured, contender) for contender in CONTENDERS}, rounds)
    figures = {contender: Figure.of(values) for contender, values in peaks.items()}
    base, few, many = CONTENDERS
    goal = Goal(f"{many}, more than {few}", figures[many].median - figures[few].median, GOAL, "MB")
    notes = (
        f"peak of resident memory beyond that for one recording, each of {SECONDS} s at 60 frames per second",
        "pyarrow keeps about 20 kB for each row group until the file is complete, and a recording is one",
    )
    yield Table("exports: memory for Parquet", "MB", figures, base, (goal,), notes)


if __name__ == "__main__":
    main()
