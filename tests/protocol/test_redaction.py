"""Signed links in any spelling are never stored, shown or pickled, and ordinary words are kept."""

from __future__ import annotations

import copy
import html
import json
import os
import pickle
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ochy_async import SideView
from ochy_async.batch.outcomes import Analyzed
from ochy_async.batch.recorder import Recorder
from ochy_async.emulator import Emulator, FaultPlan, FaultRule, ReplaceBody
from ochy_async.journal.memory import MemoryJournal
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.credit_guard import CreditGuard
from ochy_async.protocol.answer import RawJson, SignedUrl
from ochy_async.protocol.error_mapping import vendor_text
from ochy_async.protocol.redaction import (
    MASK,
    contains_link,
    is_unsigned,
    may_contain_links,
    redact_links,
    redact_words,
)
from ochy_async.protocol.routes import CALCULATED_DATA, RAW_DATA, RESULTS
from tests.conftest import CLIP, real_session

SECRET = "9f86d081884c7d65"
SIGNED = tuple(
    f"{start}storage.example.com/clips/1.mp4?{sign}={SECRET}&Expires=3600"
    for start in ("https://", "HTTP://", "//", "")
    for sign in ("X-Amz-Signature", "X-Goog-Signature", "sig", "Signature", "token", "Key-Pair-Id", "se", "hdnea")
)


def as_hex(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    quote,
    lambda link: quote(link, safe=""),
    as_hex,
    html.escape,
    lambda link: link.replace("/", r"\/"),
    lambda link: link.replace("/", r"\u002f").replace("=", r"\u003D").replace("&", r"\u0026"),
    lambda link: link.replace("/", "&#x2F;").replace("=", "&#61;").replace(":", "&colon;"),
    lambda link: link.replace("/", "／").replace(":", "：").replace("=", "＝"),
    lambda link: link.replace("/", r"\x2f").replace("=", r"\x3d"),
)
AROUND = st.sampled_from(("", "see ", "<a href='", '"', "(", "text; ", "Für: "))


@given(
    link=st.sampled_from(SIGNED),
    spelt=st.lists(st.sampled_from(SPELLINGS), max_size=3),
    before=AROUND,
    after=st.sampled_from(("", " .", "'>here</a>", ")")),
)
def test_a_signed_link_is_recognized_in_every_spelling(
    link: str, spelt: list[Callable[[str], str]], before: str, after: str
) -> None:
    """With or without a scheme, escaped for URLs, JSON or HTML, in layers, and between other words."""
    for spell in spelt:
        link = spell(link)
    text = before + link + after
    assert contains_link(text)
    assert may_contain_links(orjson.dumps(text))
    output = json.dumps(redact_links({"a": [text, {text: 1}]})).casefold()
    assert SECRET not in output
    assert link.casefold() not in output
    assert "storage" not in redact_words(text).casefold()
    assert "storage" not in (vendor_text(text) or "").casefold()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_no_json_raises_or_keeps_a_link(value: Any) -> None:
    """Redacting twice changes nothing more."""
    once = redact_links(value)
    assert redact_links(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "and/or",
        "Shorten your steps: 5/10; 100 % of them",
        "course=1, phrase=2",
        "clips//a.mp4",
        r"C:\clips\a.mp4",
        "a & b",
        "Hüfte/Knie = 3°",
        "midfoot",
        "",
    ],
)
def test_ordinary_words_are_kept(text: str) -> None:
    """A text that is neither an address nor a signature is the vendor's text."""
    assert redact_links(text) == text
    assert redact_words(text) == text


def test_a_signature_on_its_own_is_masked() -> None:
    """As in the fields of an upload form, its name says what it is."""
    output = redact_links({"url": "bucket", "fields": {"X-Amz-Signature": SECRET, "key": "a.mp4"}, "token": SECRET})
    assert output == {"url": "bucket", "fields": {"X-Amz-Signature": MASK, "key": "a.mp4"}, "token": MASK}


def test_an_address_with_its_signature_in_the_path_is_not_unsigned() -> None:
    """The links of exercises are shown, and such a link is not."""
    assert is_unsigned("https://cdn.example/a.mp4")
    assert not is_unsigned(f"https://cdn.example/token={SECRET}/a.mp4")
    assert not is_unsigned(f"https://cdn.example/a.mp4%3Fsig%3D{SECRET}")


def test_numbers_are_not_searched_twice() -> None:
    """Megabytes of raw data are searched but not parsed; a link at their end is found."""
    body = b'{"frames":{"1":{"nose":{"x":0.5,"y":-1e-7}}}}' * 50_000
    assert not may_contain_links(body)
    assert may_contain_links(body + rb'"\u002f"')


# --- written files --------------------------------------------------------------------------------

ODD = (
    f"//storage.example.com/a.jpg?x={SECRET}",
    f"storage.example.com/a.jpg?X-Goog-Signature={SECRET}",
    f"https%3A%2F%2Fstorage.example.com%2Fa.jpg%3Fsig%3D{SECRET}",
    rf"https:\u002f\u002fstorage.example.com\u002fa.jpg?{SECRET}",
    f"https&#58;&#x2F;&#x2F;storage.example.com&#x2F;{SECRET}",
)


def results_with_links(own: bytes) -> bytes:
    """Results with links under unexpected keys."""
    state = orjson.loads(own)
    if state["status"] != "success":
        return own
    score = {"score_number": 0.5, "range_good": [1, 2], "range_okay": [1, 2], "texts": {"recap": list(ODD)}}
    content = dict.fromkeys(("arm", "back_cycle", "forward_cycle", "head", "trunk"), score)
    styles = {"title": ODD[0], "animal": ODD[1], "percentage": 0.5, "summary": ODD[2]}
    state["thumbnail"] = f"https://storage.example.com/t.jpg?signature={SECRET}"
    state["biomechanical_analysis"] = {
        "analysis_content": {**content, "foot": {**score, "foot_strike_pattern": ODD[3]}},
        "running_styles": styles,
        "total_score": 0.5,
        ODD[4]: 1,
    }
    return orjson.dumps(state)


def answers(emulator: Emulator) -> None:
    """Every answer of one analysis holds unexpected links."""
    metrics = {"speed_meter_per_second": 2.5}
    calculated = {"metrics": metrics, "overstride": {"score": ODD[1]}, "joint_angles": list(ODD)}
    raw = {"video_input_information": list(ODD), "frames": {"1": {}}}
    emulator.faults = FaultPlan(
        [
            FaultRule(str(RESULTS), ReplaceBody(results_with_links), times=99),
            FaultRule(str(CALCULATED_DATA), ReplaceBody(orjson.dumps(calculated)), times=9),
            FaultRule(str(RAW_DATA), ReplaceBody(orjson.dumps(raw)), times=9),
        ]
    )


def contents(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.anyio
async def test_no_file_of_a_batch_holds_an_unexpected_link(emulator: Emulator, tmp_path: Path) -> None:
    """Results, calculated and raw data, tables and journal hold neither a signature nor the host."""
    answers(emulator)
    journal, out = SqliteJournal(tmp_path / "clips.journal"), tmp_path / "out"
    settings: dict[str, Any] = {"journal": journal, "out": out, "keep": ("calculated", "raw_data")}
    async with real_session(emulator) as ochy, ochy.batch(SideView(), **settings) as batch:
        (outcome,) = [outcome async for outcome in batch.run([CLIP])]
    assert isinstance(outcome, Analyzed)
    assert outcome.missing == ()
    written = contents(tmp_path)
    assert len(written) >= 6
    assert [name for name, content in written.items() if SECRET.encode() in content] == []
    assert [name for name, content in written.items() if b"storage.example" in content] == []


@pytest.mark.anyio
@pytest.mark.parametrize("link", ODD)
async def test_no_reason_in_a_journal_holds_a_link(link: str) -> None:
    """Whatever the reason is, the words around a link are kept."""
    async with MemoryJournal() as journal:
        books = Recorder(journal, CreditGuard(), lambda: datetime.now(UTC))
        await books.record(await books.record_intent(None, key="k"), State.OPEN, reason=f"'a.mp4' failed: {link} broke")
        stored = await journal.get("k")
    assert stored is not None
    assert stored.reason == f"'a.mp4' failed: {MASK} broke"


@pytest.mark.anyio
async def test_a_status_that_is_a_link_is_not_shown(emulator: Emulator) -> None:
    """Python code gets an unknown status unchanged; a terminal and a file do not."""
    pytest.importorskip("click", reason="needs the extra cli: click is not installed")
    state = b'{"video_id": "a1b2", "status": "%s", "percentage": 1}' % ODD[1].encode()
    emulator.faults = FaultPlan([FaultRule(str(RESULTS), ReplaceBody(state), times=9)])
    async with real_session(emulator) as ochy:
        started = await ochy.start(CLIP, SideView())
    for more in ("--json",), ():
        code = "from ochy_async.cli import main; main()"
        command = [sys.executable, "-c", code, "status", started.analysis_id, *more]
        done = await anyio.run_process(command, env={**os.environ, "OCHY_BASE_URL": emulator.url}, check=False)
        output = (done.stdout + done.stderr).decode()
        assert MASK in output
        assert SECRET not in output


@pytest.mark.anyio
async def test_a_pickle_of_results_holds_no_link(emulator: Emulator) -> None:
    """Everything else is restored; copies within the process keep their links."""
    answers(emulator)
    async with real_session(emulator) as ochy:
        started = await ochy.start(CLIP, SideView())
        results, calculated = await ochy.wait(started), await ochy.calculated_data(started)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps((results, calculated), protocol)
        assert SECRET.encode() not in pickled
        assert b"storage.example" not in pickled
        again, numbers = pickle.loads(pickled)
        assert (again.total_score, numbers.metrics) == (0.5, calculated.metrics)
        assert again.thumbnail is None
        assert isinstance(again.raw, RawJson)
    for same in (copy.copy(results), copy.deepcopy(results)):
        assert same.thumbnail is not None
        assert SECRET in same.thumbnail.reveal()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps([SignedUrl(SIGNED[0])])
