"""Decisions: whether to retry, when to poll, whether a start happened.

Invariant: this package is pure. Time and randomness are passed in, so a ten-minute wait is tested in microseconds.
"""
