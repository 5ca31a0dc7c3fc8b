"""The settings of the account's one webhook.

Deliveries are probably unsigned (inferred), so a delivery is a hint to poll and never proof of a state.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from attrs import field

from ..errors import InvalidRequest, Problem
from .answer import Answer, RawJson, answer_class
from .call import Call, call_for
from .routes import CONFIGURE_WEBHOOK, GET_WEBHOOK

__all__ = ["WebhookSettings", "configure_webhook_call", "get_webhook_call"]


@answer_class
class WebhookSettings(Answer):
    """The settings of the webhook; all None if none is stored. Source: documented."""

    url: str | None = field(default=None)
    """The address of the deliveries."""
    enabled: bool | None = None
    """False stops all deliveries."""
    updated_at: datetime | None = None
    """UTC."""

    @property
    def stored(self) -> bool:
        """Whether the account has a webhook."""
        return self.url is not None

    @property
    def host(self) -> str | None:
        """The host of the address, without path and query, which may hold a token; None if it is unknown."""
        try:
            return urlsplit(self.url or "").hostname
        except ValueError:
            return None


def get_webhook_call() -> Call[WebhookSettings]:
    """Fetches the settings."""
    return call_for(GET_WEBHOOK, WebhookSettings)


def configure_webhook_call(url: str, *, enabled: bool) -> Call[WebhookSettings]:
    """Stores both settings. Repeatable. Raises `InvalidRequest` for a URL that is not https."""
    problems: list[Problem] = []
    if not isinstance(url, str) or not _is_https(url):
        problems.append(Problem("url", "must be an https URL with a host"))
    if not isinstance(enabled, bool):
        problems.append(Problem("enabled", "must be True or False"))
    settings = RawJson(url=url, enabled=enabled)
    del url  # so that no frame in a traceback holds its token
    if problems:
        raise InvalidRequest.of("configure_webhook", tuple(problems))
    return call_for(CONFIGURE_WEBHOOK, WebhookSettings, json=settings)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)
