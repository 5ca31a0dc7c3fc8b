"""Files with results are for this user alone, whatever the umask, and so are the folders that are made for them.

Windows has no such modes: who may read a file there follows from the folder that it is in.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ochy_async import OchySession, SideView
from ochy_async.batch.output.folder import ARTIFACT_FILES
from ochy_async.durable_files import private_folder, write_file
from ochy_async.emulator import Emulator, sample_clip
from ochy_async.journal.memory import MemoryJournal
from tests.conftest import CLIP, real_session, world

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of files")
anyio_test = pytest.mark.anyio


@pytest.fixture(params=[0o000, 0o022], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Generator[None]:
    """A umask that takes nothing from the mode of a new file, and a usual one."""
    earlier = os.umask(request.param)
    yield
    os.umask(earlier)


def modes(folder: Path) -> dict[str, str]:
    """The modes of a folder and of all that is in it, by the paths below it."""
    there = [folder, *sorted(folder.rglob("*"))]
    return {str(each.relative_to(folder)): oct(stat.S_IMODE(each.stat().st_mode)) for each in there}


def set_mode(path: Path, mode: int) -> None:
    path.chmod(mode)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def run_batch(ochy: OchySession, **settings: Any) -> None:
    async with ochy, ochy.batch(SideView(), journal=MemoryJournal(), **settings) as batch:
        async for _ in batch.run([sample_clip(1, size=300)]):
            pass


@posix_only
@anyio_test
@pytest.mark.usefixtures("_umask")
async def test_everything_that_a_batch_saves_is_private(tmp_path: Path) -> None:
    """Tables, results, data, picture and video, and all folders that the path to them needed."""
    out = tmp_path / "new" / "results"
    async with Emulator(world(analysis_seconds=(0.5, 0.5)), speed=50) as emulator:
        await run_batch(real_session(emulator), out=out, keep=tuple(ARTIFACT_FILES))
    found = modes(tmp_path / "new")
    assert {found.pop("."), found.pop("results")} == {"0o700"}
    assert len(found) == len(ARTIFACT_FILES) + 3  # and results.json, and the tables
    assert set(found.values()) == {"0o600"}


@posix_only
@anyio_test
async def test_a_folder_of_the_user_keeps_its_mode_and_old_tables_become_private(tmp_path: Path) -> None:
    """Tables are written anew, so they do not keep the mode that an older version gave them."""
    set_mode(tmp_path, 0o755)
    for name in ("results.jsonl", "results.csv"):
        write(tmp_path / name, b"")
        set_mode(tmp_path / name, 0o644)
    async with Emulator(world(analysis_seconds=(0.5, 0.5)), speed=50) as emulator:
        await run_batch(real_session(emulator), out=tmp_path, keep=())
    found = modes(tmp_path)
    assert found.pop(".") == "0o755"
    assert set(found.values()) == {"0o600"}


@posix_only
@anyio_test
async def test_a_download_into_a_readable_part_is_private(tmp_path: Path) -> None:
    """The part of an older version loses the access of others as soon as it is opened."""
    path, part = tmp_path / "run.mp4", tmp_path / "run.mp4.part"
    write(part, b"older")
    set_mode(part, 0o644)
    async with (
        Emulator(world(analysis_seconds=(0.5, 0.5)), speed=50) as emulator,
        real_session(emulator) as ochy,
    ):
        await ochy.download(await ochy.analyze(CLIP, SideView(), name="a.mp4"), path)
    assert modes(tmp_path)["run.mp4"] == "0o600"


@posix_only
@pytest.mark.usefixtures("_umask")
def test_a_file_that_is_replaced_becomes_private(tmp_path: Path) -> None:
    """Its content is new, and so is its mode."""
    path = tmp_path / "file"
    write(path, b"old")
    set_mode(path, 0o666)
    write_file(path, b"new")
    assert (path.read_bytes(), modes(tmp_path)["file"]) == (b"new", "0o600")


@posix_only
@pytest.mark.usefixtures("_umask")
def test_a_folder_is_private_with_all_that_lead_to_it(tmp_path: Path) -> None:
    """Those that exist keep their modes."""
    (tmp_path / "there").mkdir()
    set_mode(tmp_path / "there", 0o751)
    for _ in range(2):
        private_folder(tmp_path / "there" / "a" / ".." / "b" / "c")
    assert {name: mode for name, mode in modes(tmp_path).items() if name != "."} == {
        "there": "0o751",
        "there/a": "0o700",
        "there/b": "0o700",
        "there/b/c": "0o700",
    }


def test_a_file_where_a_folder_must_be_is_an_error(tmp_path: Path) -> None:
    """As with `Path.mkdir`."""
    write(tmp_path / "file", b"")
    with pytest.raises(FileExistsError):
        private_folder(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        private_folder(tmp_path / "file" / "folder")
