"""Saved results as tables and as files for other tools.

`results_table(folder)` is the table of a batch. `recordings_in(folder)` finds the raw data of a results folder.
`write_parquet` and `write_long_csv` write all of them to one file; `write_trc`, `write_mot`, `write_c3d` and
`write_openpose` write each to a file of its own.
"""

from .c3d import write_c3d
from .exported import Exported
from .long_tables import write_long_csv, write_parquet
from .mot import write_mot
from .openpose import write_openpose
from .recordings import RecordingFile, recordings_in
from .results_table import ResultsTable, results_table
from .trc import write_trc

__all__ = [
    "Exported",
    "RecordingFile",
    "ResultsTable",
    "recordings_in",
    "results_table",
    "write_c3d",
    "write_long_csv",
    "write_mot",
    "write_openpose",
    "write_parquet",
    "write_trc",
]
