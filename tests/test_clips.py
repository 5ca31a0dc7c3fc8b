"""A video to send: from any source, its exact bytes at each attempt, or an error."""

from __future__ import annotations

import asyncio
import io
import mmap
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import Clip, clips
from ochy_async.clips import CHUNK, ClipSource, digest, prepare, safe_name, verified
from ochy_async.errors import ClipUnusable
from ochy_async.preflight.facts import ClipFacts
from ochy_async.preflight.rules import blocking, findings_for, raise_if_blocked
from ochy_async.protocol.video_limits import CONTENT_TYPES, MAX_BYTES
from tests.conftest import CLIP

pytestmark = pytest.mark.anyio

BIG = CLIP + bytes(range(251)) * (3 * CHUNK // 251)
"""Several chunks, the last of them a short one."""


async def content(clip: Clip) -> bytes:
    """All bytes of a clip."""
    return b"".join([chunk async for chunk in clip.chunks()])


async def sent_part(clip: Clip, between: Callable[[], object] = lambda: None) -> tuple[bytes, ClipUnusable | None]:
    """The bytes of a clip that are handed over, and the error; `between` is called after the first chunk."""
    sent = b""
    try:
        async for chunk in clip.chunks():
            if not sent:
                between()
            sent += chunk
    except ClipUnusable as refused:
        return sent, refused
    return sent, None


async def sent_bytes(clip: Clip, between: Callable[[], object] = lambda: None) -> int:
    """How many bytes of an unusable clip are handed over before it is refused."""
    sent, refused = await sent_part(clip, between)
    assert refused is not None
    assert refused.problems
    return len(sent)


def refuse(clip: Clip) -> None:
    """Raises `ClipUnusable` if the name or the size of a clip rule it out."""
    raise_if_blocked(blocking(findings_for(ClipFacts(name=clip.name, size=clip.size)), "errors"), "errors")


async def problems_of(source: Any, name: str | None = None) -> dict[str, str]:
    """The problems of a refused clip: message by field."""
    with pytest.raises(ClipUnusable) as caught:
        refuse(await prepare(source, name))
    assert "nothing was sent or charged" in str(caught.value)
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    return {problem.field: problem.message for problem in caught.value.problems}


def file_of(folder: Path, data: bytes = BIG, name: str = "runner.mp4") -> Path:
    """A file with some content."""
    path = folder / name
    path.write_bytes(data)
    return path


async def slices(data: bytes, size: int = 1000) -> AsyncGenerator[bytes]:
    """Bytes as a stream."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def source_of(kind: str, folder: Path) -> ClipSource:
    """The same content as any kind of source."""
    match kind:
        case "text path":
            return str(file_of(folder))
        case "path":
            return file_of(folder)
        case "open file":
            return file_of(folder).open("rb")
        case "file in memory":
            return io.BytesIO(BIG)
        case "stream":
            return Clip.stream(lambda: slices(BIG), name="runner.mp4", size=len(BIG))
        case "bytearray":
            return bytearray(BIG)
        case "memoryview":
            return memoryview(BIG)
        case _:
            return BIG


KINDS = ["text path", "path", "open file", "file in memory", "stream", "bytes", "bytearray", "memoryview"]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_source_gives_its_exact_bytes_twice(kind: str, tmp_path: Path) -> None:
    """A clip is reopened for each attempt, so a second one sends the same bytes."""
    source = source_of(kind, tmp_path)
    clip = await prepare(source)
    assert clip.size == len(BIG)
    assert (clip.name.endswith(".mp4"), clip.content_type) == (True, "video/mp4")
    assert await content(clip) == BIG
    assert await content(clip) == BIG
    if isinstance(source, io.IOBase):
        source.close()


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
@pytest.mark.parametrize("kind", ["path", "bytes"])
async def test_a_clip_of_any_size_is_complete(kind: str, size: int, tmp_path: Path) -> None:
    """Sizes around that of a chunk are tested too."""
    data = bytes(size)
    clip = await prepare(file_of(tmp_path, data) if kind == "path" else data, "a.mp4")
    chunks = [chunk async for chunk in clip.chunks()]
    assert b"".join(chunks) == data
    assert all(chunks)


@pytest.mark.parametrize("has", [0, 1, CHUNK - 1, CHUNK, len(BIG)])
async def test_a_file_is_complete_however_much_of_it_is_cached(
    has: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cached parts are read at once, threads read the rest, and no part comes twice."""
    ask = clips.read_cached
    monkeypatch.setattr(clips, "read_cached", lambda file, at: ask(file, at)[: max(0, has - at)])
    assert await content(await prepare(file_of(tmp_path))) == BIG


async def test_a_slow_disk_does_not_block_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cached and the disk is slow, and other tasks still run."""
    wait, beats, loop = clips.read_blocking, list[float](), asyncio.get_running_loop()

    def slow(file: IO[bytes], position: int) -> bytes:
        time.sleep(0.05)
        return wait(file, position)

    async def heart() -> None:
        while True:
            await anyio.sleep(0.001)
            beats.append(loop.time())

    monkeypatch.setattr(clips, "read_cached", lambda *_: b"")
    monkeypatch.setattr(clips, "read_blocking", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heart)
        assert await content(await prepare(file_of(tmp_path))) == BIG
        tasks.cancel_scope.cancel()
    assert len(beats) > len(BIG) / CHUNK * 3  # held, it beats once a chunk


@pytest.mark.skipif(clips.NOWAIT is None, reason="this system has no non-blocking reads")
async def test_a_cached_file_is_read_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was just written is in the cache."""

    def never(file: IO[bytes], position: int) -> bytes:
        raise AssertionError(f"{file.name} was waited for at {position}")

    path = file_of(tmp_path)
    assert path.read_bytes() == BIG
    monkeypatch.setattr(clips, "read_blocking", never)
    assert await content(await prepare(path)) == BIG


async def test_a_change_that_no_time_shows_is_found(tmp_path: Path) -> None:
    """A write through a mapping whose page is written already keeps size, times and inode, and the clip is not sent."""
    path = file_of(tmp_path)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[0] ^= 1
        clip = await prepare(path)
        hashed = await digest(clip)
        mapping[0] ^= 1
        sent, refused = await sent_part(verified(clip, hashed))
    assert refused is not None
    assert len(sent) < clip.size


async def test_bytes_are_copied() -> None:
    """A bytearray that changes later does not change the clip."""
    data = bytearray(BIG)
    clip = await prepare(data)
    data[:] = bytes(len(data))
    assert await content(clip) == BIG


# --- the caller's own file ---------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "disk"])
async def test_a_file_is_read_from_its_position(in_memory: bool, tmp_path: Path) -> None:
    """Bytes before it are not sent, and a second attempt begins at the same position."""
    path = file_of(tmp_path)
    with io.BytesIO(BIG) if in_memory else path.open("rb") as file:
        file.seek(8)
        clip = await prepare(file, "runner.mp4")
        assert clip.size == len(BIG) - 8
        assert await content(clip) == BIG[8:]
        assert await content(clip) == BIG[8:]


async def test_a_callers_file_is_not_closed(tmp_path: Path) -> None:
    """It may even be used while it is sent."""
    with file_of(tmp_path).open("rb") as file:
        clip = await prepare(file)
        parts: list[bytes] = []
        async for chunk in clip.chunks():
            parts.append(chunk)
            file.seek(3)
        assert b"".join(parts) == BIG
        assert not file.closed
        file.seek(0)
        assert file.read() == BIG


@pytest.mark.parametrize("name", [None, "runner.mp4"])
async def test_preparing_a_file_keeps_its_position(name: str | None) -> None:
    """Preparing it twice gives the same clip."""
    file = io.BytesIO(b"head" + BIG)
    file.seek(4)
    first = await prepare(file, name)
    assert file.tell() == 4
    assert await content(first) == await content(await prepare(io.BytesIO(BIG), name))


async def test_a_file_opened_as_text_is_refused(tmp_path: Path) -> None:
    """This happens before anything is sent."""
    with file_of(tmp_path, b"text only").open("r") as file:
        assert "binary mode" in (await problems_of(file))["file"]
    assert "binary mode" in (await problems_of(io.StringIO("text")))["file"]


async def test_a_file_that_cannot_be_rewound_is_refused() -> None:
    """A pipe can be read only once; `Clip.stream` takes it."""
    reading, writing = os.pipe()
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: ASYNC230, PTH123 - a pipe has no path
        assert "Clip.stream" in (await problems_of(pipe))["file"]


# --- refused before anything is sent -------------------------------------------------------------------


async def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message names the file and the reason."""
    found = await problems_of(tmp_path / "gone.mp4")
    assert "'gone.mp4'" in found["path"]
    assert "No such file" in found["path"]


@pytest.mark.parametrize("path", ["", "a\0b.mp4"], ids=repr)
async def test_an_unusable_path_is_refused(path: str) -> None:
    """An empty path, and one that no system accepts."""
    assert (await problems_of(path)).keys() == {"path"}


async def test_a_folder_is_refused(tmp_path: Path) -> None:
    """Its name does not matter."""
    (tmp_path / "folder.mp4").mkdir()
    assert "not a regular file" in (await problems_of(tmp_path / "folder.mp4"))["path"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
async def test_a_named_pipe_is_refused_without_opening_it(tmp_path: Path) -> None:
    """Opening it would block until a process writes."""
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in (await problems_of(tmp_path / "pipe.mp4"))["path"]


async def test_an_empty_clip_is_refused(tmp_path: Path) -> None:
    """The source does not matter."""
    for source in (
        file_of(tmp_path, b""),
        b"",
        io.BytesIO(b""),
        Clip.stream(lambda: slices(b""), name="a.mp4", size=0),
    ):
        assert "empty" in (await problems_of(source, "a.mp4"))["size"]


async def test_a_clip_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """30 MB are documented; one byte more is refused before an upload of minutes."""
    path = file_of(tmp_path, b"")
    os.truncate(path, MAX_BYTES + 1)
    assert "30,000,001 bytes exceed the 30,000,000" in (await problems_of(path))["size"]
    os.truncate(path, MAX_BYTES)
    assert (await prepare(path)).size == MAX_BYTES


@pytest.mark.parametrize("name", ["a.mkv", "a.txt", "a", "a.mp4.zip", "mp4", "a.", "a.mp5", "a.m p4"])
async def test_a_wrong_extension_is_refused(name: str, tmp_path: Path) -> None:
    """The server recognizes the type by the extension, so it must be one of the four."""
    assert ".mp4, .mov, .avi, .webm" in (await problems_of(file_of(tmp_path, CLIP, name)))["name"]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.mp4", "video/mp4"),
        ("a.MP4", "video/mp4"),
        ("a.mov", "video/quicktime"),
        ("a.Avi", "video/x-msvideo"),
        ("a.webm", "video/webm"),
        ("a.b.c.mp4", "video/mp4"),
    ],
)
async def test_the_media_type_follows_the_extension(name: str, content_type: str, tmp_path: Path) -> None:
    """The four documented types, in upper and lower case."""
    clip = await prepare(file_of(tmp_path, CLIP, name))
    assert clip.content_type == content_type
    assert Path(clip.name).suffix in CONTENT_TYPES


async def test_a_name_in_any_script_is_accepted(tmp_path: Path) -> None:
    """Of a Chinese name or an emoji only the extension is sent."""
    for name in ("跑步.mp4", "ランナー.MOV", "🏃.webm"):
        assert (await prepare(file_of(tmp_path, CLIP, name))).name == f"clip{Path(name).suffix.lower()}"


async def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """A clip that is too large and of the wrong type has both problems."""
    path = file_of(tmp_path, b"", "a.txt")
    os.truncate(path, MAX_BYTES + 1)
    assert (await problems_of(path)).keys() == {"name", "size"}


@pytest.mark.parametrize(
    "source", [None, 7, 1.5, ["a.mp4"], object(), slices(b"x")], ids=lambda each: type(each).__name__
)
async def test_another_type_is_no_clip(source: Any) -> None:
    """The message says what can be given."""
    found = await problems_of(source)
    assert type(source).__name__ in found["clip"]
    assert "Clip.stream" in found["clip"]


# --- never completed after an error -----------------------------------------------------------------------


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, len(BIG) - 1)


def rewrite(path: Path) -> None:
    path.write_bytes(bytes(len(BIG)))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))  # a clock may be too coarse to see it


def replace(path: Path) -> None:
    other = file_of(path.parent, BIG, "other.mp4")
    other.replace(path)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))


CHANGES = [grow, shrink, rewrite, replace]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", [len(CLIP), len(BIG)], ids=["one chunk", "many chunks"])
async def test_a_file_that_changed_before_it_is_sent_is_not_sent(
    change: Callable[[Path], None], size: int, tmp_path: Path
) -> None:
    """Not a byte is handed over, because other content was checked."""
    path = file_of(tmp_path, BIG[:size])
    clip = await prepare(path)
    change(path)
    assert await sent_bytes(clip) == 0


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
async def test_a_file_that_changes_while_it_is_sent_is_never_completed(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    """The last chunk is held back until the file is known to be unchanged, so wrong content is never analyzed."""
    path = file_of(tmp_path)
    clip = await prepare(path)
    assert 0 < await sent_bytes(clip, lambda: change(path)) < len(BIG)


async def test_a_file_that_is_deleted_before_it_is_sent_is_refused(tmp_path: Path) -> None:
    """The error says that it cannot be opened."""
    path = file_of(tmp_path)
    clip = await prepare(path)
    path.unlink()
    assert await sent_bytes(clip) == 0


@pytest.mark.parametrize("change", [grow, shrink])
async def test_an_open_file_that_changes_is_never_completed(change: Callable[[Path], None], tmp_path: Path) -> None:
    """This holds for the caller's own file."""
    path = file_of(tmp_path)
    with path.open("rb") as file:
        clip = await prepare(file)
        assert await sent_bytes(clip, lambda: change(path)) < len(BIG)


async def stream_of(*chunks: bytes) -> AsyncIterator[bytes]:
    """A stream of these chunks."""
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("chunks", "size", "word"),
    [
        ([], 3, "fewer"),
        ([b"ab"], 3, "fewer"),
        ([b"a", b"b"], 3, "fewer"),
        ([b"abcd"], 3, "more"),
        ([b"abc", b"d"], 3, "more"),
        ([b"ab", b"cd"], 3, "more"),
        ([b"a", b"b", b"c", b"d"], 3, "more"),
        ([b"abc", b"", b"d"], 3, "more"),
        ([b"", b"abc", b"", b"", b"d"], 3, "more"),
    ],
)
async def test_a_stream_of_the_wrong_size_is_never_completed(chunks: list[bytes], size: int, word: str) -> None:
    """With too few or too many bytes, fewer than announced are handed over."""
    clip = Clip.stream(lambda: stream_of(*chunks), name="a.mp4", size=size)
    sent, refused = await sent_part(clip)
    assert word in str(refused)
    assert len(sent) < size


@given(st.lists(st.binary(max_size=4), max_size=8), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
async def test_a_stream_is_sent_completely_or_refused(chunks: list[bytes], size: int) -> None:
    """However it is split, exactly the announced bytes are handed over, or fewer and an error."""
    clip = Clip.stream(lambda: stream_of(*chunks), name="a.mp4", size=size)
    sent, refused = await sent_part(clip)
    complete = b"".join(chunks)
    assert (refused is None) == (len(complete) == size)
    assert sent == complete if refused is None else len(sent) < size


async def test_a_stream_without_a_function_is_sent_once() -> None:
    """A second attempt raises an error that says so; a function can be called again."""
    clip = Clip.stream(slices(BIG), name="a.mp4", size=len(BIG))
    assert await content(clip) == BIG
    with pytest.raises(ClipUnusable, match="pass a function that reopens it"):
        await content(clip)


async def test_an_error_of_a_stream_is_raised_unchanged() -> None:
    """It reaches the caller."""

    async def broken() -> AsyncGenerator[bytes]:
        yield b"ab"
        raise LookupError("the camera fell")

    with pytest.raises(LookupError, match="the camera fell"):
        await content(Clip.stream(broken, name="a.mp4", size=4))


# --- closing --------------------------------------------------------------------------------------------


def open_files() -> set[str]:
    """The temporary files that this process has open."""
    return {str(link.resolve()) for link in Path("/proc/self/fd").iterdir() if ".mp4" in str(link.resolve())}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system has no /proc")
async def test_an_abandoned_clip_leaves_no_file_open(tmp_path: Path) -> None:
    """The file is closed with the generator, in the middle, at the end, or after an error."""
    path = file_of(tmp_path)
    clip = await prepare(path)
    half: Any = clip.chunks()
    await anext(half)
    assert open_files() == {str(path.resolve())}
    await half.aclose()
    assert open_files() == set()
    await content(clip)
    assert open_files() == set()
    await sent_bytes(clip, lambda: grow(path))
    assert open_files() == set()


async def test_an_abandoned_stream_is_closed() -> None:
    """The caller's generator runs its own cleanup at once."""
    closed: list[bool] = []

    async def opened() -> AsyncGenerator[bytes]:
        try:
            yield b"a" * 10
            yield b"b" * 10
            yield b"c" * 10
        finally:
            closed.append(True)

    half: Any = Clip.stream(opened, name="a.mp4", size=30).chunks()
    await anext(half)
    assert closed == []
    await half.aclose()
    assert closed == [True]


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("runner.mp4", "runner.mp4"),
        ("Runner 1 (final).MOV", "Runner_1_final.mov"),
        ('a"; filename="b.mp4', "a_filename_b.mp4"),
        ("a\r\nContent-Type: x.mp4", "a_Content-Type_x.mp4"),
        ("../../etc/passwd.mp4", "passwd.mp4"),
        ("..\\..\\boot.mp4", "boot.mp4"),
        ("C:\\clips\\run.avi", "run.avi"),
        ("/tmp/x/run.webm", "run.webm"),  # noqa: S108
        ("Läufer Ñandú.mp4", "Laufer_Nandu.mp4"),
        ("跑步.mp4", "clip.mp4"),
        ("🏃.mp4", "clip.mp4"),
        (".hidden.mp4", "hidden.mp4"),
        (".mp4", "clip.mp4"),
        ("..mp4", "clip.mp4"),
        ("a.tar.mp4", "a.tar.mp4"),
        ("a\0b.mp4", "a_b.mp4"),
        ("-rf.mp4", "rf.mp4"),
        ("a" * 255 + ".mp4", "a" * 96 + ".mp4"),
        ("", "clip"),
        ("/", "clip"),
    ],
)
def test_a_name_is_made_plain(name: str, safe: str) -> None:
    """No header, shell or file system can misread it, and the extension is kept."""
    assert safe_name(name) == safe


letters = st.sampled_from("aZ9._- /\\\"'\r\n\0é跑😀:;%") | st.characters(exclude_categories=["Cs"])
names = st.builds(
    "{}{}".format,
    st.text(letters, max_size=140),
    st.sampled_from(["", ".mp4", ".MOV", ".avi", ".webm", ".m4v", ".", ".é", ".mp4 "]),
)


@given(names)
@settings(max_examples=120, deadline=None)
def test_a_plain_name_stays_unchanged(name: str) -> None:
    """A plain name has at most 100 of the characters `[A-Za-z0-9._-]`."""
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", safe)
    assert not safe.startswith((".", "-"))
    assert safe_name(safe) == safe


@given(st.text(letters, max_size=140), st.sampled_from(sorted(CONTENT_TYPES)))
@settings(max_examples=100, deadline=None)
def test_a_documented_extension_is_kept(stem: str, suffix: str) -> None:
    """This holds for any stem, unless the name is a hidden file."""
    assert safe_name(f"a{stem}b{suffix}").endswith(suffix)
    assert safe_name(f"a{stem}b{suffix.upper()}").endswith(suffix)


def test_a_long_name_is_cut_at_a_letter() -> None:
    """Cutting leaves no dot or dash at the end, so that the name is plain."""
    safe = safe_name("a" * 95 + "_" + "b" * 50 + ".mp4")
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypmp42", "clip.mp4"),
        (b"\0\0\0\x18ftypisom", "clip.mp4"),
        (b"\0\0\0\x14ftypqt  ", "clip.mov"),
        (b"RIFF\x01\x02\x03\x04AVI LIST", "clip.avi"),
        (b"\x1a\x45\xdf\xa3\x01", "clip.webm"),
    ],
)
async def test_bytes_are_named_by_their_container(head: bytes, name: str) -> None:
    """Bytes and files in memory have a signature instead of a name."""
    assert (await prepare(head + bytes(50))).name == name
    assert (await prepare(io.BytesIO(head + bytes(50)))).name == name


@pytest.mark.parametrize("data", [b"RIFF\x01\x02\x03\x04WAVE", b"\xff\xd8\xff", b"x", b"%PDF"])
async def test_bytes_without_a_known_container_need_a_name(data: bytes) -> None:
    """Their type is not guessed."""
    assert (await problems_of(data)).keys() == {"name"}
    assert (await prepare(data, "a.mp4")).name == "a.mp4"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_given_name_is_used(kind: str, tmp_path: Path) -> None:
    """`name` overrides the file name for every source."""
    source = source_of(kind, tmp_path)
    assert (await prepare(source, "Other name.mov")).name == "Other_name.mov"
    if isinstance(source, io.IOBase):
        source.close()


async def test_a_file_descriptor_is_named_by_its_container(tmp_path: Path) -> None:
    """The name of a file that was opened by its number is that number."""
    number = os.open(file_of(tmp_path), os.O_RDONLY)
    file: IO[bytes]
    with open(number, "rb") as file:  # noqa: ASYNC230, PTH123 - a descriptor has no path
        assert (await prepare(file)).name == "clip.mp4"


def test_a_clip_shows_name_and_size_only() -> None:
    """Its content shows a person."""
    assert repr(Clip.stream(lambda: slices(BIG), name="a.mp4", size=5)) == "Clip(name='a.mp4', size=5)"
