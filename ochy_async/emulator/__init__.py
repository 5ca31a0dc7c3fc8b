"""An emulator of the Ochy Partner API, for tests: the vendor has no sandbox, and every real start costs a credit.

`Emulator` serves it on a port of this machine, `InProcessTransport` connects it to a session without a socket, and the
fixture `ochy_emulator` is available in every pytest run. `in_virtual_time` runs a test in virtual time, and
`render_video` makes clips of any size and length. `BEHAVIORS` lists which behaviors are documented by the vendor and
which are assumed.

It delivers to a webhook of this machine: `Emulator.set_webhook` stores it, `EmulatorSettings.deliveries` says how
deliveries look and what goes wrong with them, and `InProcessTransport.delivering` hands them to a function.

The results are simulated. Do not base health or training decisions on them.

Invariant: the emulator imports nothing of the client, so that a mistake in one of them shows up as a difference between
the two. Only `in_process` uses the client's `protocol.wire` and `errors`, to connect them. Names are loaded on first
use, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .behaviors import BEHAVIORS, Behavior
    from .delivery_settings import DeliverySettings, DeliveryShapes
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
    from .messages import Charge, Form, LoggedDelivery, LoggedRequest, ServiceRequest, ServiceResponse, UploadedVideo
    from .response_shapes import ResponseShapes
    from .sample_clips import sample_clip
    from .server import Emulator
    from .service import Service
    from .settings import EmulatorSettings
    from .video_rendering import render_video
    from .virtual_time import in_virtual_time

__all__ = [
    "BEHAVIORS",
    "Behavior",
    "Charge",
    "Delay",
    "DeliverySettings",
    "DeliveryShapes",
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
    "LoggedDelivery",
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
    "in_virtual_time",
    "render_video",
    "sample_clip",
]

_MODULES = {
    "behaviors": ("BEHAVIORS", "Behavior"),
    "delivery_settings": ("DeliverySettings", "DeliveryShapes"),
    "in_process": ("InProcessStorage", "InProcessTransport"),
    "messages": (
        "Charge",
        "Form",
        "LoggedDelivery",
        "LoggedRequest",
        "ServiceRequest",
        "ServiceResponse",
        "UploadedVideo",
    ),
    "response_shapes": ("ResponseShapes",),
    "sample_clips": ("sample_clip",),
    "server": ("Emulator",),
    "service": ("Service",),
    "settings": ("EmulatorSettings",),
    "video_rendering": ("render_video",),
    "virtual_time": ("in_virtual_time",),
}
"""The names of each module; all others are in `faults`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "faults")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
