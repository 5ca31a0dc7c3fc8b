"""The log that the environment asks for: `OCHY_LOG=debug` shows the library's log on stderr.

Invariant: if a program configures logging, its configuration decides what is shown and where.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Final

from .errors import InvalidSettings

__all__ = ["LEVELS", "LOG_VARIABLE", "configure_log"]

LOG_VARIABLE: Final = "OCHY_LOG"
LEVELS: Final = ("debug", "info", "warning", "error")
_LOGGER: Final = logging.getLogger("ochy_async")


def configure_log() -> None:
    """Sets the level of the logger `ochy_async` to that of `OCHY_LOG`, and shows the log on stderr.

    A level that the program has set stays. The handler is silent while the program has one of its own, on the root
    logger or on `ochy_async`, so that no line is shown twice. Raises `InvalidSettings` for an unknown level.
    """
    level = os.environ.get(LOG_VARIABLE, "").strip().lower()
    if not level or _HANDLER in _LOGGER.handlers:
        return
    if level not in LEVELS:
        raise InvalidSettings(f"{LOG_VARIABLE} must be one of {', '.join(LEVELS)}. Nothing was sent.")
    if _LOGGER.level == logging.NOTSET:
        _LOGGER.setLevel(level.upper())
    _LOGGER.addHandler(_HANDLER)


class _ConsoleHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        stderr = sys.stderr  # now, not when the handler was made; None in a program without a console
        if stderr is None or _configured_by_program():
            return
        with suppress(OSError, ValueError):  # it is closed, and there is no other place to say so
            stderr.write(f"{self.format(record)}\n")


def _configured_by_program() -> bool:
    own = (each for each in _LOGGER.handlers if each is not _HANDLER and not isinstance(each, logging.NullHandler))
    return bool(logging.getLogger().handlers) or any(own)


_HANDLER: Final = _ConsoleHandler()
_HANDLER.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
