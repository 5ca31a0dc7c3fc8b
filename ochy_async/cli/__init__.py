"""The command line: `ochy`, or `python -m ochy_async.cli`.

Invariant: the only place that prints. Results go to stdout, everything else to stderr, and no
key, no URL that holds one and no signed URL goes anywhere. What a command needs is loaded when that
command runs.
"""

from __future__ import annotations

import io
import sys
from typing import Final

__all__ = ["main"]

_EXTRA: Final = frozenset({"click", "platformdirs", "rich"})
_HINT: Final = (
    "The command line needs {}, which is not installed. Install it with:\n\n    pip install 'ochy-async[cli]'\n"
)


def main() -> None:
    """The console script. Ends the process with one of the codes of `exits`."""
    _prepare_streams()
    try:
        from .app import ochy

        ochy(prog_name="ochy")
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in _EXTRA:
            raise
        sys.stderr.write(_HINT.format(name))
        sys.exit(2)


def _prepare_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot spell a word must not end a run that is paid for.
            stream.reconfigure(errors="replace")
