"""What we decide: again or not, when to look, whether a start happened.

Law of this room: pure. Time and chance are handed in, so a ten-minute wait is tested in microseconds.
"""
