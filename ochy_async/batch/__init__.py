"""Many clips, staged, bounded, resumable.

Invariant: intent before deed, every clip in exactly one end, and nothing bought on a doubt.
"""
