"""Draws the proof clip of `ochy_async.preflight` anew: `python -m tests.support.proof_clip`.

It is kept as a file, so that a decoder is not judged by what an encoder of the same library has just written.
"""

from __future__ import annotations

import sys

from ochy_async.emulator.video_rendering import render_video
from ochy_async.preflight.child import PROOF


def drawn() -> bytes:
    """H.264 in MP4, stored across and shown upright, as telephones do it. Its facts are `child.PROVEN`."""
    return render_video(9, kind="mp4", width=64, height=36, fps=30, seconds=0.4, rotation=90)


if __name__ == "__main__":
    PROOF.write_bytes(drawn())
    sys.stdout.write(f"{PROOF}: {PROOF.stat().st_size:,} bytes\n")
