"""Reading webhook deliveries, whose layout is not documented: by many names, with bounds, and with notes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ochy_async import Delivery, InvalidDelivery, parse_delivery
from ochy_async.protocol.deliveries import MAX_DELIVERY_BYTES

JSON = {"Content-Type": "application/json"}


def delivered(**values: Any) -> Delivery:
    """A delivery with these keys at its top."""
    return parse_delivery(json.dumps(values).encode(), JSON)


def test_a_flat_delivery_is_read() -> None:
    """The documented values are read from the names that they have elsewhere in the API."""
    delivery = delivered(video_id="a1", event="analysis.started", status="pending", percentage=45, sequence=3)
    assert (delivery.analysis_id, delivery.event, delivery.status) == ("a1", "analysis.started", "pending")
    assert (delivery.percentage, delivery.sequence) == (45, 3)


def test_an_envelope_is_read() -> None:
    """The id in an envelope is that of the analysis; the one beside it is that of the delivery."""
    delivery = delivered(id="evt_1", type="analysis.completed", data={"id": "a1", "status": "success"})
    assert (delivery.analysis_id, delivery.event, delivery.status) == ("a1", "analysis.completed", "success")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}" + b" " * MAX_DELIVERY_BYTES, JSON, 413),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"[]", JSON, 400),
        (b"", {}, 400),
    ],
)
def test_anything_else_is_an_invalid_delivery(body: bytes, headers: dict[str, str], status: int) -> None:
    """The error has the HTTP status to answer with."""
    with pytest.raises(InvalidDelivery) as caught:
        parse_delivery(body, headers)
    assert caught.value.status == status
