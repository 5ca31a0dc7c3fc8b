"""A `repr` without measured values: logs, tracebacks and asserts show it unasked.

Invariant: pure.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["ShortRepr"]


class ShortRepr:
    """Base of the classes that hold the data of a person. Their decorator is `@frozen(repr=False)`."""

    __slots__ = ()

    def _extent(self) -> str:
        """How much there is, such as `240 frames`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._extent()}>"

    def __rich_repr__(self) -> Iterator[str]:
        # Without this method rich prints the fields of attrs classes instead of their `repr`.
        yield repr(self)
