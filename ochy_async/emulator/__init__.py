"""A small Ochy for tests and tries: no sandbox exists, and every real try costs a credit.

`Emulator` puts it on a port of this machine, `DirectTransport` plugs it into a session without one,
and the fixture `ochy_emulator` is there in every pytest run. What it does is documented by the vendor
or assumed: `BEHAVIOURS` tells which.

Law of this room: it never knows the client, so it can disagree with it. Names are loaded when they are
asked for, so that importing this costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .behaviours import BEHAVIOURS, Behaviour
    from .clips import sample_clip
    from .direct import DirectStorage, DirectTransport
    from .faults import (
        Body,
        Course,
        CutAfter,
        CutBefore,
        CutInside,
        Delay,
        Fault,
        Faults,
        Html,
        NoConnection,
        Redirect,
        RetryAfter,
        Rule,
        Script,
        Seeded,
        Slow,
        Status,
        StatusAfter,
        Truncated,
        gzip_bomb,
    )
    from .server import Emulator
    from .service import Answer, Ask, Charge, Form, Seen, Service, Shapes, Video, World

__all__ = [
    "BEHAVIOURS",
    "Answer",
    "Ask",
    "Behaviour",
    "Body",
    "Charge",
    "Course",
    "CutAfter",
    "CutBefore",
    "CutInside",
    "Delay",
    "DirectStorage",
    "DirectTransport",
    "Emulator",
    "Fault",
    "Faults",
    "Form",
    "Html",
    "NoConnection",
    "Redirect",
    "RetryAfter",
    "Rule",
    "Script",
    "Seeded",
    "Seen",
    "Service",
    "Shapes",
    "Slow",
    "Status",
    "StatusAfter",
    "Truncated",
    "Video",
    "World",
    "gzip_bomb",
    "sample_clip",
]

_ROOMS = {
    "BEHAVIOURS": "behaviours",
    "Behaviour": "behaviours",
    "DirectStorage": "direct",
    "DirectTransport": "direct",
    "Emulator": "server",
    "sample_clip": "clips",
    **dict.fromkeys(("Answer", "Ask", "Charge", "Form", "Seen", "Service", "Shapes", "Video", "World"), "service"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOMS.get(name, 'faults')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
