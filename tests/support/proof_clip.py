"""Renders the proof clip of `ochy_async.preflight` again: `python -m tests.support.proof_clip`.

The clip is stored as a file, so that a decoder is not tested with what an encoder of the same library has just written.
"""

from __future__ import annotations

import sys

from ochy_async.emulator.video_rendering import render_video
from ochy_async.preflight.child import PROOF


def render_proof_clip() -> bytes:
    """H.264 in MP4, stored in landscape and shown upright, as phones do it. `child.PROVEN` has its facts."""
    return render_video(9, container="mp4", width=64, height=36, fps=30, seconds=0.4, rotation=90)


if __name__ == "__main__":
    PROOF.write_bytes(render_proof_clip())
    sys.stdout.write(f"{PROOF}: {PROOF.stat().st_size:,} bytes\n")
