"""Many clips, staged, bounded, resumable.

Law of this room: intent before deed, every clip in exactly one end, and nothing bought on a doubt.
"""
