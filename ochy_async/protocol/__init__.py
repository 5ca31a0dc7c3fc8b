"""What the API says: requests and answers as values, and how answers are read.

Invariant: pure. No module here uses the network, a clock, random numbers or files.
"""
