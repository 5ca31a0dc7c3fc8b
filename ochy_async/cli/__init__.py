"""The command line: `ochy`, or `python -m ochy_async.cli`.

Invariant: results go to stdout and everything else to stderr. No API key, no URL that holds one and no signed URL is
ever printed.
"""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from typing import Final

__all__ = ["main"]

_EXTRA: Final = ("click", "platformdirs", "rich")
_HINT: Final = "The command line needs {}, not installed here. To install it:\n\n    pip install 'ochy-async[cli]'\n"


def main() -> None:
    """Runs the command line and exits with one of the codes of `exit_codes`."""
    _prepare_streams()
    if missing := [name for name in _EXTRA if find_spec(name) is None]:
        sys.stderr.write(_HINT.format(" and ".join(missing)))
        sys.exit(2)
    from .process_title import hide_address

    hide_address()
    from .app import ochy

    ochy(prog_name="ochy")


def _prepare_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal's encoding does not have must not interrupt a paid run.
            stream.reconfigure(errors="replace")
