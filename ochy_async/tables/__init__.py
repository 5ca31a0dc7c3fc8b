"""Saved results as tables for other tools.

`recordings_in(folder)` finds the raw data of a results folder; `write_parquet` and `write_long_csv` write all of them
to one file.
"""

from .long_tables import write_long_csv, write_parquet
from .recordings import RecordingFile, recordings_in

__all__ = ["RecordingFile", "recordings_in", "write_long_csv", "write_parquet"]
