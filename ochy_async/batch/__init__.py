"""Batches: many clips, in stages with limits of their own, resumable after any interruption.

Invariant: every clip gets exactly one outcome, and an uncertain start is never sent again unless the user says so.
"""
