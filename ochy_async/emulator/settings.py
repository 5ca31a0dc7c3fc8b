"""The settings of the emulated service: one frozen value, validated when it is made.

Invariant: pure. Every undocumented behavior of the API that changes what the service does is a field here, and its
docstring says whether the default is documented, assumed or unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import ge, gt, in_, le
from attrs.validators import instance_of as a

from .delivery_settings import DeliverySettings
from .response_shapes import ResponseShapes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attrs import Attribute

__all__ = ["DEFAULT_KEY", "EmulatorSettings"]

DEFAULT_KEY = "emulator-key"
DAY = 86_400.0


def _texts(texts: Iterable[str]) -> frozenset[str]:
    if isinstance(texts, str):
        raise TypeError("expected a set of strings, such as {'...'}, not one string")
    return frozenset(texts)


def _keys(_: EmulatorSettings, __: Attribute[frozenset[str]], keys: frozenset[str]) -> None:
    if not keys or not all(keys):
        raise ValueError("api_keys: at least one API key is required, and none may be empty")


def _durations(_: EmulatorSettings, __: Attribute[tuple[float, float]], durations: tuple[float, float]) -> None:
    shortest, longest = durations
    if not 0 <= shortest <= longest <= DAY:
        raise ValueError(f"analysis_seconds: 0 <= shortest <= longest <= {DAY:.0f} seconds, not {durations!r}")


def _storage(_: EmulatorSettings, __: Attribute[str], url: str) -> None:
    if not url.startswith(("http://", "https://")) or url.endswith("/"):
        raise ValueError("storage_url: must be an http or https origin without a trailing slash")


@frozen(kw_only=True)
class EmulatorSettings:
    """How the emulated service behaves. The defaults follow the vendor's documentation where it says anything."""

    api_keys: frozenset[str] = field(default=frozenset({DEFAULT_KEY}), converter=_texts, validator=_keys, repr=False)
    """API keys of the one account. Documented: a wrong key is a 403, a missing key a 401."""

    credits: int = field(default=1000, validator=[a(int), ge(0)])
    """Credits of the account at the beginning."""

    concurrent_analyses: int = field(default=8, validator=[a(int), ge(1), le(10_000)])
    """How many analyses run at once; the others wait as `pending`. Assumed."""

    queue_seconds: float = field(default=1.0, validator=[ge(0), le(DAY)])
    """Least number of seconds for which every analysis is `pending`. Assumed."""

    analysis_seconds: tuple[float, float] = field(default=(10.0, 30.0), validator=_durations)
    """Shortest and longest duration of an analysis (documented); each clip's own is drawn from its content."""

    failure_rate: float = field(default=0.0, validator=[ge(0), le(1)])
    """Share of the clips, drawn from their content, whose analysis fails."""

    failing_clips: frozenset[str] = field(default=frozenset(), converter=_texts)
    """SHA-256 digests or file names of clips whose analysis fails."""

    too_long_clips: frozenset[str] = field(default=frozenset(), converter=_texts)
    """Digests or file names of clips rejected as longer than 10 s, besides those whose MP4 header says so."""

    max_upload_bytes: int = field(default=30_000_000, validator=[a(int), gt(0)])
    """Largest video, in bytes. 30 MB is documented; that it is not 30 MiB is assumed."""

    max_video_seconds: float = field(default=10.0, validator=gt(0))
    """Longest video, in seconds. Documented."""

    refund_failed_analyses: bool = field(default=False, validator=a(bool))
    """Whether the credit of a failed analysis is refunded. Unknown."""

    charge_refused_uploads: bool = field(default=False, validator=a(bool))
    """Whether an upload rejected for its video costs a credit. Unknown."""

    list_refused_uploads: bool = field(default=False, validator=a(bool))
    """Whether an upload rejected for its video creates an analysis that lists show. Unknown."""

    clock_offset: float = field(default=0.0, validator=[ge(-DAY), le(DAY)])
    """Seconds by which the service's clock is ahead of the client's. Unknown."""

    listing_lag: float = field(default=0.0, validator=[ge(0), le(DAY)])
    """Seconds until lists show a new analysis. Unknown."""

    signed_url_seconds: float = field(default=3600.0, validator=[gt(0), le(7 * DAY)])
    """How long the URLs of `thumbnail` and `output_video` work. Documented: 1 hour."""

    storage_url: str = field(default="https://storage.ochy-emulator.invalid", validator=_storage)
    """Origin of the signed URLs; `Emulator` replaces it by its own second port."""

    frames_per_second: float = field(default=60.0, validator=[gt(0), le(240)])
    """Frame rate of every clip in its raw data."""

    default_video_seconds: float = field(default=4.0, validator=[gt(0), le(10)])
    """Length, in raw data, of a clip whose header does not contain it."""

    shapes: ResponseShapes = field(factory=ResponseShapes, validator=a(ResponseShapes))
    """How responses look where the documentation does not say."""

    deliveries: DeliverySettings = field(factory=DeliverySettings, validator=a(DeliverySettings))
    """When and how often the webhook is notified."""

    seed: int = field(default=0, validator=a(int))
    """Determines ids, durations and failures."""

    log_limit: int = field(default=10_000, validator=[a(int), in_(range(1, 1_000_001))])
    """How many requests `Service.requests` holds, and how many deliveries `Service.deliveries`. `Service.count` counts
    all requests."""
