"""A table as an Arrow C stream, made by nanoarrow. Importing this module needs the extra `arrow`.

Invariant: numbers are not copied. The stream shares the arrays of the columns and keeps them alive.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

import nanoarrow
from nanoarrow.c_array import CArrayBuilder, c_array, c_array_from_buffers
from nanoarrow.c_array_stream import CArrayStream
from nanoarrow.c_buffer import c_buffer
from nanoarrow.c_schema import c_schema

from .table_columns import Column

__all__ = ["stream_capsule"]

_TYPES: Final[dict[str, Any]] = {
    "number": nanoarrow.float64(),
    "integer": nanoarrow.int64(),
    "boolean": nanoarrow.bool_(),
    "text": nanoarrow.string(),
    "category": nanoarrow.dictionary(nanoarrow.int32(), nanoarrow.string()),
}


def stream_capsule(columns: Sequence[Column]) -> object:
    """A PyCapsule of the columns as one batch. A field's metadata has its `unit`."""
    fields = [_field(each) for each in columns]
    schema = c_schema(nanoarrow.struct(fields, nullable=False))
    length = len(columns[0].values) if columns else 0
    batch = c_array_from_buffers(schema, length, [None], null_count=0, children=map(_array, columns))
    return CArrayStream.from_c_arrays([batch], schema).__arrow_c_stream__()


def _field(column: Column) -> Any:
    metadata = {} if column.unit is None else {b"unit": column.unit.encode()}
    return c_schema(_TYPES[column.kind]).modify(name=column.name, metadata=metadata)


def _array(column: Column) -> Any:
    values = column.values
    if column.kind == "category":
        return _dictionary_array(values, column.categories)
    if not isinstance(values, array):
        return c_array(list(values), _TYPES[column.kind])
    return c_array_from_buffers(_TYPES[column.kind], len(values), [_validity(values), values])


def _validity(values: array[Any]) -> Any:
    """One bit for each value, 0 for NaN; None if no value is NaN."""
    if not math.isnan(sum(values)):  # any NaN makes the sum NaN
        return None
    return c_buffer([value == value for value in values], nanoarrow.bool_())  # only NaN differs from itself


def _dictionary_array(codes: Sequence[int], names: Iterable[str]) -> Any:
    """Positions in a dictionary, which nanoarrow allocates empty and leaves to its caller to fill."""
    missing = min(codes, default=0) < 0
    validity = c_buffer([code >= 0 for code in codes], nanoarrow.bool_()) if missing else None
    found = c_array_from_buffers(_TYPES["category"], len(codes), [validity, codes])
    texts = [name.encode() for name in names]
    dictionary = CArrayBuilder(found.dictionary)
    dictionary.set_buffer(1, c_buffer(array("i", accumulate(map(len, texts), initial=0))), move=True)
    dictionary.set_buffer(2, c_buffer(b"".join(texts)), move=True)
    dictionary.set_length(len(texts))
    dictionary.set_null_count(0)
    dictionary.finish()
    return found
