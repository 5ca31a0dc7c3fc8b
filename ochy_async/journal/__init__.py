"""What a batch must not forget: one contract, in memory or in SQLite.

Invariant: durable means durable. A change that was answered survives the process, the power and
the disk's cache; one that cannot be made is an error before anything is bought, and nothing here ever
starts over empty.
"""
