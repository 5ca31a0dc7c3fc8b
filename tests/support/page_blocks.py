"""Runs what pages show: `python -m tests.support.page_blocks PAGE…` runs pages and renews the output that they show.

A page is run from top to bottom in a folder with clips, with an emulator in place of Ochy:

- `python` is a program of its own. It may await outside of functions, as notebooks allow. A `test_` function is run by
  pytest.
- `sh` is a list of commands, each of which must succeed. All commands of a page share one shell.
- `console` is commands after `$ `, continued after `> `, and what they print. `…` stands for anything: a part of a
  line, or lines. Ids, times, durations, sizes, ports and folders may differ (`_VOLATILE`), and so may runs of spaces.
- Any other language is data, and is not run.

Comments on the lines above a block change that: `<!-- not run: the reason -->` leaves it out, `<!-- exits with 5 -->`
says how its last command ends, and `<!-- output of: commands -->` makes data the output of commands that the page
does not show.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from anyio.from_thread import start_blocking_portal
from attrs import define, field, frozen

from ochy_async.emulator import Emulator, sample_clip
from tests.conftest import world
from tests.support.canary import API_KEY, HOOK_TOKEN, leaks

__all__ = ["RUN", "Block", "PageRun", "blocks_of", "missing_extra", "page_folder", "pages", "run_page"]

ROOT: Final = Path(__file__).parents[2]
RUN: Final = ("python", "sh", "console")
CLIPS: Final = ("runner.mp4", "clips/anna.mp4", "clips/ben.mp4", "clips/mia.mp4")
"""The clips in the folder of every page; each is a video of its own."""
BUCKET: Final = "s3://lab"
"""Where pages that show a bucket find the same clips."""
SECONDS: Final = 120
"""That a block may take."""
_BLOCK: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_ABOVE: Final = re.compile(r"(?:<!--(?:(?!-->).)*-->\s*)+\Z", re.DOTALL)
_COMMENT: Final = re.compile(r"<!-- (not run|exits with|output of):?[ \n](.*?)\s*-->", re.DOTALL)
_VOLATILE: Final = (
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"\b[0-9a-f]{12,64}\b",
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?",
    r"\b\d\d:\d\d:\d\d\b",
    r"127\.0\.0\.1[:-]\d+",
    r"\b\d+(?:\.\d+)? (?:ms|s|min|h)\b",
    r"\b\d+(?:\.\d+)? [kMG]B\b",
    r"(?<![\w/:.~*])/(?:[^\s:'\"/]+/)+",
)
"""What differs from run to run: ids, keys, times, ports, durations, sizes, the folders of a path."""
_VARYING: Final = re.compile("|".join((*(f"({each})" for each in _VOLATILE), "(…)", "( +)", "(─+)")))
_FORMS: Final = (*_VOLATILE, ".*", " +", "─+")


@frozen
class Block:
    """A code block of a page."""

    page: str
    line: int
    """Of the fence."""
    language: str
    text: str
    start: int
    """Where the text begins in the page, where it ends, and how far it is indented there."""
    end: int
    indent: str
    reason: str | None
    """Why it is not run; None if it is."""
    exit_code: int
    command: str
    """What prints it, if the page does not show that."""

    @property
    def is_run(self) -> bool:
        return self.reason is None and (self.language in RUN or bool(self.command))

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@define
class PageRun:
    """What came of running a page."""

    text: str
    """The page, with the output of this run where that differs."""
    problems: list[str] = field(factory=list[str])
    """The blocks that failed, with what they printed."""
    skipped: list[str] = field(factory=list[str])
    """The blocks that need a library which is not installed."""


class WrongBlock(Exception):
    """A block does not run as its page says."""


class MissingExtra(Exception):
    """A block needs an extra that is not installed."""


def pages() -> list[str]:
    """The pages of the repository."""
    folders = sorted((ROOT / "docs").rglob("*.md"))
    tops = [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob(".github/*.md")]
    return [each.relative_to(ROOT).as_posix() for each in (*sorted(tops), *folders)]


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page, from top to bottom."""
    for found in _BLOCK.finditer(text):
        above = _ABOVE.search(text, 0, found.start())
        said = dict(_COMMENT.findall(above[0])) if above else {}
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            text=textwrap.dedent(found["text"]),
            start=found.start("text"),
            end=found.end("text"),
            indent=found["indent"],
            reason=said.get("not run"),
            exit_code=int(said.get("exits with", 0)),
            command=textwrap.dedent(said.get("output of", "")),
        )


# --- running ----------------------------------------------------------------------------------------


@cache
def _clips() -> dict[str, bytes]:
    if not find_spec("av"):  # nothing looks into the clips then
        return {name: sample_clip(number) for number, name in enumerate(CLIPS)}
    from ochy_async.emulator.video_rendering import render_video

    return {name: render_video(number, width=640, height=360, fps=60) for number, name in enumerate(CLIPS)}


@contextmanager
def page_folder(folder: Path, text: str = "") -> Generator[dict[str, str]]:
    """Makes the folder of a page, with clips and a reference for reports, and an emulator and a bucket for it.

    Gives the environment of its blocks.
    """
    for name, content in _clips().items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    shutil.copy(ROOT / "docs/examples/reference.csv", folder)
    emulator = Emulator(world(queue_seconds=0.1, analysis_seconds=(0.2, 0.5)))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OCHY_", "PYTEST_", "PGQ"))},
        "COLUMNS": "80",
        "NO_PROXY": "127.0.0.1",
        "OCHY_API_KEY": API_KEY,
        "OCHY_WEBHOOK_TOKEN": HOOK_TOKEN,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    with (
        tempfile.TemporaryDirectory() as state,  # beside the folder, which commands list
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(emulator),
        _bucket(text) as store,
    ):
        Path(state, "sitecustomize.py").write_text(_ACCELERATED, encoding="utf-8")
        found = {"OCHY_BASE_URL": emulator.url, "OCHY_STATE_DIR": state, "PYTHONPATH": f"{state}{os.pathsep}{ROOT}"}
        yield {**environment, **store, **found}


_ACCELERATED: Final = """
import os
from asyncio import events
from tests.support import accelerated_time
accelerated_time.ACCELERATION = int(os.environ.get("SPEED", "5"))
events.new_event_loop = accelerated_time.AcceleratedLoop
"""
"""For every Python that a page starts: it waits a fifth of the time, or less if a command sets `SPEED`."""


@contextmanager
def _bucket(text: str) -> Generator[dict[str, str]]:
    """The bucket `lab` with the same clips, if a block that is run names it. Gives the variables that lead to it."""
    if not any(f"{BUCKET}/" in block.text for block in blocks_of("", text) if block.is_run):
        yield {}
        return
    from tests.support.object_servers import object_server

    with object_server() as server:
        server.put("lab")
        for name, content in _clips().items():
            server.put("lab", name, content)
        yield server.environment


def run_page(page: str, text: str, folder: Path, environment: Mapping[str, str]) -> PageRun:
    """Runs the blocks of a page. A block that fails is a problem, and the next one is run."""
    run, done, renewed = PageRun(text), 0, ""
    with _shell(folder, environment) as shell:
        for block in blocks_of(page, text):
            if not block.is_run:
                continue
            try:
                shown = _run_block(block, shell)
            except MissingExtra as error:
                run.skipped.append(f"{block}: {error}")
            except WrongBlock as error:
                if run.skipped:
                    run.skipped.append(f"{block}: may need what these would have made")
                else:
                    run.problems.append(f"{block} {error}")
            else:
                renewed += text[done : block.start] + textwrap.indent(shown, block.indent)
                done = block.end
    run.text = renewed + text[done:]
    return run


def _run_block(block: Block, shell: _Shell) -> str:
    """Runs a block, and returns what this run would show: the block as it is, if its output fits."""
    if block.language == "python":
        shell.run(_python_command(block, shell.work), block.exit_code)
    elif block.language == "sh":
        shell.run(block.text, block.exit_code)
    elif block.language == "console":
        return _run_console(block, shell)
    else:
        return _fitting(block.text, shell.run(block.command, block.exit_code))
    return block.text


def _run_console(block: Block, shell: _Shell) -> str:
    parts = re.findall(r"(?m)^(\$ .*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", block.text)
    if "".join(map("".join, parts)) != block.text:
        raise WrongBlock("does not begin with a command after `$ `")
    shown = ""
    for number, (command, expected) in enumerate(parts, 1):
        words = re.sub(r"(?m)^[$>] ", "", command)
        shown += command + _fitting(expected, shell.run(words, block.exit_code if number == len(parts) else 0))
    return shown


def _python_command(block: Block, work: Path) -> str:
    """The command that runs a program, whose lines have the numbers that they have in the page."""
    tests = re.search(r"^(async )?def test_", block.text, re.MULTILINE)
    path = work / f"{'test' if tests else 'block'}_{block.line}.py"
    path.write_text(block.line * "\n" + block.text + (_ASYNC_TESTS if tests and tests[1] else ""), encoding="utf-8")
    if tests:
        return f"'{sys.executable}' -m pytest -p no:cacheprovider --rootdir '{work}' '{path}'\n"
    return f"'{sys.executable}' -c '{_RUNNER}' '{path}' '{block}'\n"


_ASYNC_TESTS: Final = """

import pytest
pytestmark = pytest.mark.anyio
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
_RUNNER: Final = """
import ast, asyncio, inspect, sys
sys.path.insert(0, "")
with open(sys.argv[1], encoding="utf-8") as file:
    code = compile(file.read(), sys.argv[1], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
if inspect.iscoroutine(awaited := eval(code, {"__name__": "__main__"})):
    asyncio.run(awaited)
"""


@define
class _Shell:
    """The shell of a page, which keeps variables and the folder from block to block. A failed command ends it."""

    folder: Path
    environment: Mapping[str, str]
    work: Path
    """Where files of the harness are."""
    process: subprocess.Popen[bytes] | None = None

    def run(self, script: str, exit_code: int = 0) -> str:
        """What the commands print; standard error is a part of it, as on a terminal."""
        code, output = self._run(script)
        if code and (missing := missing_extra(output)):
            raise MissingExtra(missing)
        if code != exit_code:
            raise WrongBlock(f"ended with {'no end' if code is None else code}, not {exit_code}:\n{output}")
        if leaks(output):
            raise WrongBlock("prints a secret")
        return output

    def _run(self, script: str) -> tuple[int | None, str]:
        commands, printed = self.work / "commands", self.work / "printed"
        commands.write_text(script, encoding="utf-8")
        if self.process is None:
            self.process = subprocess.Popen(
                ["sh", "-eu"],  # noqa: S607 - the shell of this machine
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        ready, code = False, None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f". '{commands}' > '{printed}' 2>&1 < /dev/null; echo\n".encode())
        self.process.stdin.flush()
        if select.select([self.process.stdout], [], [], SECONDS)[0]:
            ready = bool(self.process.stdout.read(1))  # nothing, if a command failed and ended the shell
            code = 0 if ready else self.process.wait(SECONDS)
        if not ready:
            self.end()
        text = printed.read_text(encoding="utf-8", errors="replace") if printed.exists() else ""
        return code, "".join(f"{line.rstrip()}\n" for line in text.splitlines())

    def end(self) -> None:
        """Ends the shell and what it has left in the background."""
        if self.process is None:
            return
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(SECONDS)
        self.process = None


@contextmanager
def _shell(folder: Path, environment: Mapping[str, str]) -> Generator[_Shell]:
    with tempfile.TemporaryDirectory() as work:
        shell = _Shell(folder, environment, Path(work))
        try:
            yield shell
        finally:
            shell.end()


# --- output -----------------------------------------------------------------------------------------


def _fitting(expected: str, printed: str) -> str:
    """What was expected, if it fits what was printed; else what was printed."""
    return expected if re.fullmatch(_pattern(expected), printed) else printed


def _pattern(expected: str) -> str:
    """A pattern for output: `…` alone on a line stands for lines, within a line for a part of it."""
    lines = [line.rstrip() for line in expected.splitlines()]
    return "".join(r"(?:.*\n)*" if line.strip() == "…" else f"{_line_pattern(line)}\n" for line in lines)


def _line_pattern(line: str) -> str:
    pattern, done = "", 0
    for found in _VARYING.finditer(line):
        assert found.lastindex is not None
        pattern += re.escape(line[done : found.start()]) + _FORMS[found.lastindex - 1]
        done = found.end()
    return pattern + re.escape(line[done:])


# --- extras -----------------------------------------------------------------------------------------


@cache
def _requirements() -> dict[str, list[str]]:
    """The names of what each extra installs."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    names = {extra: [re.split(r"[\s\[<>=;~!]", each)[0] for each in listed] for extra, listed in extras.items()}
    return {extra: [each for each in listed if each != "ochy-async"] for extra, listed in names.items()}


def missing_extra(output: str) -> str | None:
    """What a failed block lacks, if that is a library of an extra; None if it failed for another reason."""
    for extra in re.findall(r"ochy-async\[([\w,]+)\]'", output):
        lacking = [each for name in extra.split(",") for each in _requirements().get(name, []) if not _installed(each)]
        if lacking:
            return f"needs the extra {extra}: {lacking[0]} is not installed"
    for module in re.findall(r"No module named '(\w+)", output):
        named = [each for listed in _requirements().values() for each in listed if _is_of(module, each)]
        if named and not find_spec(module):
            return f"needs {named[0]}, which is not installed"
    return None


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _is_of(module: str, package: str) -> bool:
    return package.replace("-", "_") == module or package.startswith(f"{module}-")


# --- renewing ---------------------------------------------------------------------------------------


def main() -> None:
    """Runs pages, and writes those whose output has changed. Exits with 1 if a block fails."""
    failed = False
    for page in sys.argv[1:] or pages():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder, page_folder(Path(folder), text) as environment:
            run = run_page(page, text, Path(folder), environment)
        print(f"{page}: {'as it was' if run.text == text else 'renewed'}", *run.problems, *run.skipped, sep="\n")
        path.write_text(run.text, encoding="utf-8")
        failed = failed or bool(run.problems)
    sys.exit(failed)


if __name__ == "__main__":
    main()
