"""Keeps the token out of the logs of web servers, which show the path of every request.

Invariant: a log record that holds no token is not changed.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from .tokens import HookTokens

__all__ = ["SERVER_LOGGERS", "TokenMask", "masked_server_logs"]

SERVER_LOGGERS: Final = (
    *("uvicorn.access", "uvicorn.error", "uvicorn.asgi", "aiohttp.access", "aiohttp.server"),
    *("hypercorn.access", "gunicorn.access"),
)
"""The loggers to which web servers write paths."""


class TokenMask(logging.Filter):
    """A filter for loggers and handlers: replaces the tokens in message, arguments and extra fields of each record."""

    def __init__(self, tokens: HookTokens) -> None:
        super().__init__()
        self._tokens = tokens

    def filter(self, record: logging.LogRecord) -> bool:
        """Masks the record in place, and keeps it."""
        for name, value in list(vars(record).items()):
            masked = self._masked(value)
            if masked != value:
                setattr(record, name, masked)
        return True

    def _masked(self, value: Any) -> Any:
        """The value with masked texts, in the same structure: formatters unpack the arguments of access logs."""
        if isinstance(value, str):
            return self._tokens.mask(value)
        if isinstance(value, bytes):
            return self._tokens.mask(value.decode("latin-1")).encode("latin-1")
        if type(value) in (tuple, list):
            return type(value)(map(self._masked, value))
        if isinstance(value, Mapping):
            return {key: self._masked(each) for key, each in value.items()}
        return value


@contextmanager
def masked_server_logs(mask: TokenMask) -> Generator[None]:
    """Masks the tokens in the logs of the known web servers while the block runs."""
    loggers = [logging.getLogger(name) for name in SERVER_LOGGERS]
    for logger in loggers:
        logger.addFilter(mask)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(mask)
