"""A small Ochy for tests and tries: no sandbox exists, and every real try costs a credit.

`Emulator` puts it on a port of this machine, `InProcessTransport` plugs it into a session without one,
and the fixture `ochy_emulator` is there in every pytest run. What it does is documented by the vendor
or assumed: `BEHAVIORS` tells which.

Invariant: it never knows the client, so it can disagree with it. Names are loaded when they are
asked for, so that importing this costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .behaviors import BEHAVIORS, Behavior
    from .clips import sample_clip
    from .faults import (
        Body,
        CutAfter,
        CutBefore,
        CutInside,
        Delay,
        Fault,
        FaultEffect,
        FaultPlan,
        FaultRule,
        Faults,
        Html,
        NoConnection,
        Redirect,
        Respond,
        RespondAfter,
        RetryAfter,
        Seeded,
        Slow,
        Truncated,
        gzip_bomb,
    )
    from .in_process import InProcessStorage, InProcessTransport
    from .server import Emulator
    from .service import Charge, EmulatorSettings, Form, Seen, Service, ServiceRequest, ServiceResponse, Shapes, Video

__all__ = [
    "BEHAVIORS",
    "Behavior",
    "Body",
    "Charge",
    "CutAfter",
    "CutBefore",
    "CutInside",
    "Delay",
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "FaultEffect",
    "FaultPlan",
    "FaultRule",
    "Faults",
    "Form",
    "Html",
    "InProcessStorage",
    "InProcessTransport",
    "NoConnection",
    "Redirect",
    "Respond",
    "RespondAfter",
    "RetryAfter",
    "Seeded",
    "Seen",
    "Service",
    "ServiceRequest",
    "ServiceResponse",
    "Shapes",
    "Slow",
    "Truncated",
    "Video",
    "gzip_bomb",
    "sample_clip",
]

_ROOMS = {
    "BEHAVIORS": "behaviors",
    "Behavior": "behaviors",
    "InProcessStorage": "in_process",
    "InProcessTransport": "in_process",
    "Emulator": "server",
    "sample_clip": "clips",
    **dict.fromkeys(
        (
            "ServiceResponse",
            "ServiceRequest",
            "Charge",
            "Form",
            "Seen",
            "Service",
            "Shapes",
            "Video",
            "EmulatorSettings",
        ),
        "service",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOMS.get(name, 'faults')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
