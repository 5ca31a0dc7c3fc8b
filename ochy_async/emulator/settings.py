"""The settings of the emulated service: one frozen value, validated when made.

Invariant: pure, and every open question of the API that changes what the service does is a
field here, with the guess spelled out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import ge, gt, in_, le
from attrs.validators import instance_of as a

from .response_shapes import ResponseShapes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attrs import Attribute

__all__ = ["DEFAULT_KEY", "EmulatorSettings"]

DEFAULT_KEY = "emulator-key"
DAY = 86_400.0


def _texts(texts: Iterable[str]) -> frozenset[str]:
    if isinstance(texts, str):
        raise TypeError("a set of texts is wanted, such as {'...'}, not one text")
    return frozenset(texts)


def _keys(_: EmulatorSettings, __: Attribute[frozenset[str]], keys: frozenset[str]) -> None:
    if not keys or not all(keys):
        raise ValueError("api_keys: at least one API key is needed, and none may be empty")


def _durations(_: EmulatorSettings, __: Attribute[tuple[float, float]], durations: tuple[float, float]) -> None:
    shortest, longest = durations
    if not 0 <= shortest <= longest <= DAY:
        raise ValueError(f"analysis_seconds: 0 <= shortest <= longest <= {DAY:.0f} seconds, not {durations!r}")


def _storage(_: EmulatorSettings, __: Attribute[str], url: str) -> None:
    if not url.startswith(("http://", "https://")) or url.endswith("/"):
        raise ValueError("storage_url: an http or https origin without a slash at its end")


@frozen(kw_only=True)
class EmulatorSettings:
    """What kind of Ochy is emulated. The defaults follow the documentation where it speaks."""

    api_keys: frozenset[str] = field(default=frozenset({DEFAULT_KEY}), converter=_texts, validator=_keys, repr=False)
    """API keys of the one account. Documented: a wrong key is a 403, none at all a 401."""

    credits: int = field(default=1000, validator=[a(int), ge(0)])
    """Credits that the account begins with."""

    concurrent_analyses: int = field(default=8, validator=[a(int), ge(1), le(10_000)])
    """Analyses at once; more wait as `pending`. Assumed."""

    queue_seconds: float = field(default=1.0, validator=[ge(0), le(DAY)])
    """Seconds that every analysis is `pending` at least. Assumed."""

    analysis_seconds: tuple[float, float] = field(default=(10.0, 30.0), validator=_durations)
    """Seconds of analyzing, shortest and longest (documented); drawn for each clip by its content."""

    failure_rate: float = field(default=0.0, validator=[ge(0), le(1)])
    """Share of the clips, drawn by content, whose analysis ends as `failed`."""

    failing_clips: frozenset[str] = field(default=frozenset(), converter=_texts)
    """SHA-256 digests or file names of clips whose analysis ends as `failed`."""

    too_long_clips: frozenset[str] = field(default=frozenset(), converter=_texts)
    """Digests or file names of clips refused as longer than 10 s, besides those whose MP4 header says so."""

    max_upload_bytes: int = field(default=30_000_000, validator=[a(int), gt(0)])
    """Bytes. 30 MB is documented; that it is not 30 MiB is assumed."""

    max_video_seconds: float = field(default=10.0, validator=gt(0))
    """Seconds of video. Documented."""

    refund_failed_analyses: bool = field(default=False, validator=a(bool))
    """Whether the credit of a failed analysis comes back. Unknown."""

    charge_refused_uploads: bool = field(default=False, validator=a(bool))
    """Whether an upload refused for its video costs a credit. Unknown."""

    list_refused_uploads: bool = field(default=False, validator=a(bool))
    """Whether an upload refused for its video leaves an analysis behind, which lists show. Unknown."""

    clock_offset: float = field(default=0.0, validator=[ge(-DAY), le(DAY)])
    """Seconds by which the service's clock is ahead of whoever asks. Unknown."""

    listing_lag: float = field(default=0.0, validator=[ge(0), le(DAY)])
    """Seconds until a new analysis shows in lists. Unknown."""

    signed_url_seconds: float = field(default=3600.0, validator=[gt(0), le(7 * DAY)])
    """How long `thumbnail` and `output_video` can be fetched. Documented: 1 hour."""

    storage_url: str = field(default="https://storage.ochy-emulator.invalid", validator=_storage)
    """Origin of the signed URLs; `Emulator` puts its own second port here."""

    frames_per_second: float = field(default=60.0, validator=[gt(0), le(240)])
    """Of every clip, as far as raw data tells."""

    default_video_seconds: float = field(default=4.0, validator=[gt(0), le(10)])
    """Length of a clip whose header does not tell it, as far as raw data tells."""

    shapes: ResponseShapes = field(factory=ResponseShapes, validator=a(ResponseShapes))
    """How the answers look where that is open."""

    seed: int = field(default=0, validator=a(int))
    """Another seed gives other ids, durations and failures."""

    log_limit: int = field(default=10_000, validator=[a(int), in_(range(1, 1_000_001))])
    """How many requests the log remembers; counts go on."""
