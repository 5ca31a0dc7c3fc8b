"""Webhooks: the door through which deliveries come, and the way on which hints reach other processes.

A delivery is a hint to go and look, never a fact: it moves a poll forward and does nothing else.
"""
