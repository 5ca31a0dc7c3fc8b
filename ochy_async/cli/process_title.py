"""Keeps the address of a database out of the process title, which every user of a machine can read.

Invariant: the same process goes on with the same command, whose address is masked; the address itself is in the
environment of the process, which only its owner can read.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ..journal.postgres.address import address_problem, is_address, mask_addresses

__all__ = ["hide_address"]

ENVIRONMENT = "OCHY_JOURNAL"


def hide_address() -> None:
    """Replaces the running program by the same one, if one of its words is an address, with the address masked.

    Does nothing on Windows, where that would be another process, and if the words name several addresses.
    """
    words = sys.argv[1:]
    addresses = {word.partition("=")[2] if word.startswith("--") else word for word in words}
    found = {each for each in addresses if is_address(each) and "***" not in each and not address_problem(each)}
    if len(found) != 1 or sys.platform == "win32" or sys.orig_argv[-len(words) :] != words:
        return
    command = [sys.executable, *sys.orig_argv[1 : -len(words)], *map(mask_addresses, words)]
    sys.stdout.flush()
    with suppress(OSError):
        os.execve(sys.executable, command, {**os.environ, ENVIRONMENT: found.pop()})  # noqa: S606 - no shell
