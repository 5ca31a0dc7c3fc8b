"""What we decide: again or not, when to look, whether a start happened.

Invariant: pure. Time and chance are handed in, so a ten-minute wait is tested in microseconds.
"""
