"""The libraries that read our tables, and the rows that each of them sees."""

from __future__ import annotations

from typing import Any, Final

import pytest

from ochy_async.protocol.tabular import Tabular

__all__ = ["NEEDS_DEV", "READERS", "library", "rows_of"]

NEEDS_DEV: Final = "needs {}, which tests of the extra arrow read tables with"
READERS: Final = ("polars", "pandas", "pyarrow", "duckdb", "to_polars", "to_pandas", "to_dataframe")
"""Four libraries that take a table as it is, and the methods that need none of Arrow or save an import."""


def library(name: str) -> Any:
    """A library that reads Arrow streams; the test is skipped without it, or without nanoarrow."""
    pytest.importorskip("nanoarrow", reason="needs the extra arrow: nanoarrow is not installed")
    return pytest.importorskip(name, reason=NEEDS_DEV.format(name))


def rows_of(reader: str, given: Tabular) -> list[dict[str, Any]]:
    """The rows of a table, with None for null, as one of `READERS` reads them."""
    match reader:
        case "polars":
            return list(library("polars").DataFrame(given).to_dicts())
        case "to_polars":
            library("polars")
            return given.to_polars().to_dicts()
        case "pyarrow":
            found = library("pyarrow").table(given)
            found.validate(full=True)
            return list(found.to_pylist())
        case "duckdb":
            result = library("duckdb").sql("SELECT * FROM given")
            return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]
        case _:
            return _pandas_rows(reader, given)


def _pandas_rows(reader: str, given: Tabular) -> list[dict[str, Any]]:
    pandas = pytest.importorskip("pandas", reason=NEEDS_DEV.format("pandas"))
    if reader == "pandas":
        library("pyarrow")
        if not hasattr(pandas.DataFrame, "from_arrow"):
            pytest.skip("needs pandas 3, whose DataFrame has from_arrow")
        frame = pandas.DataFrame.from_arrow(given)
    else:
        frame = getattr(given, reader)()
    return list(frame.astype(object).where(frame.notna(), None).to_dict("records"))
