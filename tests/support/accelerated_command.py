"""The command line on an accelerated event loop: `python -m tests.support.accelerated_command WORDS…`.

A journal in Postgres has shorter leases then, and translates between the loop's clock and the server's.
"""

from __future__ import annotations

from asyncio import events

from ochy_async.cli import journal_place, main
from ochy_async.journal.postgres import journal as postgres_journal
from tests.support.accelerated_time import AcceleratedLoop
from tests.support.worker_process import LEASE, AcceleratedJournal, replace

if __name__ == "__main__":
    replace(events, "new_event_loop", AcceleratedLoop)
    replace(postgres_journal, "LEASE", LEASE)
    replace(journal_place, "PostgresJournal", AcceleratedJournal)
    main()
