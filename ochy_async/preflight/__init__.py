"""Checks whether a clip is worth a credit, before it is sent.

Invariant: a decoder is foreign code and a clip is foreign data. The two meet only in a child process, which holds no
API key, no batch and no event loop.
"""
