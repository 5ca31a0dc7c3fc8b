"""Values as tables, which data frame libraries read through the Arrow C stream interface.

Invariant: nothing here depends on a data frame library. Each is imported by the method that returns its type, and a
missing one is a `ModuleNotFoundError` with the command that installs it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..extras import install_hint
from .table_columns import Column

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["Tabular"]


class Tabular:
    """Becomes a table wherever Arrow is understood: `polars.DataFrame(x)`, `pyarrow.table(x)`, DuckDB, pandas 3.

    The Arrow stream needs the extra `arrow`. Missing values are null, and the metadata of a column has its `unit`.
    """

    __slots__ = ()

    def table_columns(self) -> Iterable[Column]:
        """The columns of the table, all of one length."""
        raise NotImplementedError

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table as a PyCapsule of the Arrow C stream interface: one batch, without copies of coordinates.

        `requested_schema` is not regarded, as the interface allows: the consumer casts.
        """
        del requested_schema
        with install_hint("arrow"):
            from .arrow_stream import stream_capsule
        return stream_capsule(tuple(self.table_columns()))

    def to_polars(self) -> pl.DataFrame:
        """The table as a `polars.DataFrame`. Needs the extra `arrow`, and polars, which you install yourself."""
        with install_hint("polars"):
            import polars as pl
        return pl.DataFrame(self)

    def to_pandas(self) -> pd.DataFrame:
        """The table as a `pandas.DataFrame`, with the units in `attrs["units"]`. Install pandas yourself.

        Missing numbers are NaN, other missing values `pandas.NA`. Categories are a `Categorical`.
        """
        with install_hint("pandas"):
            import pandas as pd
        columns = tuple(self.table_columns())
        frame = pd.DataFrame({each.name: _pandas_values(pd, each) for each in columns})
        frame.attrs["units"] = {each.name: each.unit for each in columns if each.unit is not None}
        return frame

    def to_dataframe(self) -> pd.DataFrame:
        """The same as `to_pandas`."""
        return self.to_pandas()


def _pandas_values(pd: Any, column: Column) -> Any:
    match column.kind:
        case "category":
            return pd.Categorical.from_codes(column.values, column.categories)
        case "integer":
            complete = isinstance(column.values, array)
            return pd.array(column.values, dtype="int64" if complete else "Int64")
        case "boolean":
            return pd.array(column.values, dtype="boolean")
        case "text":
            return pd.array(column.values, dtype="string")
        case _:
            return column.values
