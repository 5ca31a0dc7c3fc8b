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
    from .faults import (
        Delay,
        DisconnectAfter,
        DisconnectBefore,
        DisconnectDuring,
        Fault,
        FaultEffect,
        FaultPlan,
        FaultRule,
        FaultSource,
        RandomFaults,
        Redirect,
        RefuseConnection,
        ReplaceBody,
        Respond,
        RespondAfter,
        RespondHtml,
        RetryAfter,
        Throttle,
        TruncateBody,
        gzip_bomb,
    )
    from .in_process import InProcessStorage, InProcessTransport
    from .messages import Charge, Form, LoggedRequest, ServiceRequest, ServiceResponse, UploadedVideo
    from .response_shapes import ResponseShapes
    from .sample_clips import sample_clip
    from .server import Emulator
    from .service import Service
    from .settings import EmulatorSettings

__all__ = [
    "BEHAVIORS",
    "Behavior",
    "Charge",
    "Delay",
    "DisconnectAfter",
    "DisconnectBefore",
    "DisconnectDuring",
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "FaultEffect",
    "FaultPlan",
    "FaultRule",
    "FaultSource",
    "Form",
    "InProcessStorage",
    "InProcessTransport",
    "LoggedRequest",
    "RandomFaults",
    "Redirect",
    "RefuseConnection",
    "ReplaceBody",
    "Respond",
    "RespondAfter",
    "RespondHtml",
    "ResponseShapes",
    "RetryAfter",
    "Service",
    "ServiceRequest",
    "ServiceResponse",
    "Throttle",
    "TruncateBody",
    "UploadedVideo",
    "gzip_bomb",
    "sample_clip",
]

_MODULES = {
    "BEHAVIORS": "behaviors",
    "Behavior": "behaviors",
    "Charge": "messages",
    "Emulator": "server",
    "EmulatorSettings": "settings",
    "Form": "messages",
    "InProcessStorage": "in_process",
    "InProcessTransport": "in_process",
    "LoggedRequest": "messages",
    "ResponseShapes": "response_shapes",
    "Service": "service",
    "ServiceRequest": "messages",
    "ServiceResponse": "messages",
    "UploadedVideo": "messages",
    "sample_clip": "sample_clips",
}
"""The module of each name; all other names are in `faults`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES.get(name, 'faults')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
