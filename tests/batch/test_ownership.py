"""Tests of whose a journal is: however its base URL is spelled, the same server means one journal and one charge."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from attrs import evolve

from ochy_async import OchySession, SideView
from ochy_async.emulator import Emulator, sample_clip
from ochy_async.errors import JournalUnusable
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.identity import identity
from ochy_async.transport import ApiKey
from tests.conftest import QUICK, world
from tests.support.canary import API_KEY

CLIP = sample_clip(1, size=300)


async def bought(base_url: str, journal: MemoryJournal, **settings: Any) -> bool:
    """Whether a run with the clip bought it."""
    async with (
        OchySession(base_url=base_url, polling=QUICK) as ochy,
        ochy.batch(SideView(), journal=journal, **settings) as batch,
    ):
        (outcome,) = [outcome async for outcome in batch.run([CLIP])]
    assert outcome.word == "analyzed"
    return bool(outcome.bought)


def spellings(url: str) -> list[str]:
    return [url, url.replace("http", "HTTP"), f"{url}/", f"{url}/./", f"{url}/%76/.."]


@pytest.mark.anyio
async def test_five_spellings_of_one_server_are_one_charge(emulator: Emulator) -> None:
    """A clip is bought once, however the base URL is spelled the next time."""
    journal = MemoryJournal()
    assert [await bought(url, journal) for url in spellings(emulator.url)] == [True] + [False] * 4
    assert len(emulator.service.ledger) == 1


@pytest.mark.anyio
async def test_a_journal_notes_one_base_url_for_all_spellings(emulator: Emulator) -> None:
    """Only a journal from before base URLs were noted needs the spelling as it was given."""
    journal = MemoryJournal()
    for url in reversed(spellings(emulator.url)):
        await bought(url, journal)
    async with journal:
        assert await journal.notes("origin:") == {f"origin:{emulator.url}": emulator.url}


@pytest.mark.anyio
async def test_another_base_url_is_refused_until_it_is_said_to_be_the_same_server(emulator: Emulator) -> None:
    """`localhost` may be another server than 127.0.0.1; the journal stores what the user says."""
    journal, elsewhere = MemoryJournal(), emulator.url.replace("127.0.0.1", "localhost")
    await bought(emulator.url, journal)
    with pytest.raises(JournalUnusable, match=r"Nothing was sent.*same_origin=True \(--same-origin\)") as caught:
        await bought(elsewhere, journal)
    assert emulator.url in str(caught.value)
    assert elsewhere in str(caught.value)
    assert not await bought(elsewhere, journal, same_origin=True)
    assert not await bought(elsewhere, journal)
    assert len(emulator.service.ledger) == 1


async def older(journal: MemoryJournal, *spelt: str) -> MemoryJournal:
    """A journal from before base URLs were noted, which has the clip under these spellings."""
    made, account = MemoryJournal(), ApiKey(API_KEY).digest()
    async with journal:
        (entry,) = [entry async for entry in journal.entries()]
        results = await journal.results(entry.key)
    async with made:
        for spelling in spelt:
            name = identity(hashlib.sha256(CLIP).hexdigest(), SideView(), account, spelling)
            written = await made.put(evolve(entry, key=name, state=State.INTENDED, version=0))
            written = await made.put(evolve(written, state=State.STARTED))
            await made.put(evolve(written, state=State.ANALYZED), results)
    return made


@pytest.mark.anyio
async def test_an_older_journal_knows_its_clips_under_their_original_spelling(emulator: Emulator) -> None:
    """Identities were made of the base URL as it was given; those clips are found, now and later."""
    journal, spelt = MemoryJournal(), emulator.url.replace("http", "HTTP")
    await bought(emulator.url, journal)
    before = await older(journal, spelt)
    assert not await bought(spelt, before)
    assert not await bought(emulator.url, before)
    assert len(emulator.service.ledger) == 1


@pytest.mark.anyio
async def test_two_names_of_one_server_in_an_older_journal_are_both_found(emulator: Emulator) -> None:
    """Clips that were bought under the second name are not bought again either."""
    journal, elsewhere = MemoryJournal(), emulator.url.replace("127.0.0.1", "localhost")
    await bought(emulator.url, journal)
    before = await older(journal, elsewhere)
    async with before:
        await before.set_note(f"origin:{emulator.url}", emulator.url)
    assert not await bought(elsewhere, before, same_origin=True)
    assert not await bought(emulator.url, before)
    assert len(emulator.service.ledger) == 1


@pytest.mark.anyio
async def test_requests_go_to_the_normalized_url() -> None:
    """The URL in the identities is the one that is requested."""
    async with Emulator(world(), speed=50) as emulator:
        spelt = f"{emulator.url.replace('http', 'HTTP')}/v1/%2e%2e/"
        async with OchySession(base_url=spelt) as ochy:
            assert emulator.url in repr(ochy)
            await ochy.get_webhook()
