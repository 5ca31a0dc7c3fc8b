"""Looking into clips, in processes that may die of them.

Invariant: a decoder is foreign code and a clip is foreign data. The two meet only where nothing
else lives: not the key, not the batch, not the event loop.
"""
