"""What Ochy says: requests and answers as values, and how one is read from the other.

Invariant: pure. No network, no clock, no chance, no file.
"""
