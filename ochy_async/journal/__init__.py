"""The journal of a batch: which clips were started and paid for. One contract, stored in memory or in SQLite.

Invariant: a confirmed change survives a crash of the process, a power cut and the disk's write cache. A change that
cannot be stored is an error before a credit is spent, and a journal that was lost is never replaced by an empty one.
"""
