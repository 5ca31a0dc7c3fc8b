"""Warns that nobody is notified, when clips ask for notifications and the account's webhook cannot take them.

Invariant: a warning is all that this module causes. It never fails a run, and sends one request, which is free, only if
notifications are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from anyio import move_on_after

from ..batch.sources import BatchItem
from ..errors import OchyError
from ..protocol.webhooks import WebhookSettings
from ..session import OchySession
from .display.terminal import print_message

__all__ = ["warn_if_nobody_is_notified"]

PATIENCE: Final = 5.0
"""Seconds for the request."""
_WARNING: Final = (
    "Notifications are requested, but the account's webhook is {}, so none is sent. The clips are analyzed all the "
    "same, and polled. An analysis cannot be changed after its start; to {} the webhook for later ones: {}"
)


async def warn_if_nobody_is_notified(ochy: OchySession, clips: Iterable[BatchItem]) -> None:
    """Prints a warning if a clip asks for notifications, and no webhook is stored or it is disabled."""
    if not any(each.request is not None and each.request.notify_via_webhook for each in clips):
        return
    with move_on_after(PATIENCE):
        try:
            settings = await ochy.get_webhook()
        except OchyError:
            return  # what is wrong with key or network, the run itself reports
        if (problem := _problem(settings)) is not None:
            print_message(_WARNING.format(*problem))


def _problem(settings: WebhookSettings) -> tuple[str, str, str] | None:
    """The state of the webhook, what would help, and the command for it; None if deliveries are sent or may be."""
    if not settings.stored:
        return "not set", "set", "ochy webhook set URL --new-token"
    return ("disabled", "enable", "ochy webhook set --enable") if settings.enabled is False else None
