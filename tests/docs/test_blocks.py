"""Every code block of the README and of the pages runs, or says why it does not; what they show is what is printed."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from pathlib import Path

import pytest

import ochy_async
from tests.support import page_blocks
from tests.support.page_blocks import ROOT, RUN, PageRun, blocks_of, missing_extra, page_folder, pages, run_page
from tests.support.public_api import MODULES, listed_api

DATA = {"csv", "floors", "json", "text", "toml"}
"""Languages of blocks that nothing runs."""
ELSEWHERE = {"docs/reference/ochy-api.md": "tests/docs/test_reference.py"}
"""Pages whose blocks another test runs, because it knows what they print."""
if not (ROOT / "docs").exists() or not shutil.which("sh") or os.name == "nt":
    pytest.skip("an installed package has no docs, and a system without sh runs no commands", allow_module_level=True)


def text_of(page: str) -> str:
    """What a page says."""
    return (ROOT / page).read_text(encoding="utf-8")


PAGES = [page for page in pages() if any(blocks_of(page, text_of(page)))]
RUNNING = [
    page for page in PAGES if page not in ELSEWHERE and any(each.is_run for each in blocks_of(page, text_of(page)))
]


@pytest.mark.parametrize("page", RUNNING)
def test_what_a_page_shows_runs(page: str, tmp_path: Path) -> None:
    """From top to bottom, and prints what it shows; `python -m tests.support.page_blocks PAGE` renews the output."""
    with page_folder(tmp_path, text_of(page)) as environment:
        run = run_page(page, text_of(page), tmp_path, environment)
    assert not run.problems, "\n".join(run.problems)
    if run.skipped:  # what they would have made may be missing in the output of others
        pytest.skip("; ".join(run.skipped))
    assert run.text == text_of(page)


@pytest.mark.parametrize("page", PAGES)
def test_a_block_has_a_language_and_a_reason_only_where_one_is_needed(page: str) -> None:
    """Data is not run, so it needs no reason. What is not run has one, as a sentence."""
    assert not wrong_marks(page, text_of(page))


def wrong_marks(page: str, text: str) -> list[str]:
    """Blocks without a known language, or with a reason that says nothing."""
    found: list[str] = []
    for block in blocks_of(page, text):
        if block.language not in {*RUN, *DATA}:
            found.append(f"{block} has no language that is known")
        if block.reason is not None and block.language in DATA:
            found.append(f"{block} is data and needs no reason")
        if block.reason is not None and len(block.reason.split()) < 3:
            found.append(f"{block} does not say why it is not run")
    return found


@pytest.mark.parametrize("page", pages())
def test_no_block_is_overlooked(page: str) -> None:
    """A parser of Markdown finds the same blocks: none is closed otherwise, indented, or in a quote."""
    assert not overlooked(page, text_of(page))


def overlooked(page: str, text: str) -> set[int]:
    """The lines of what a parser of Markdown takes for code, and we do not, or the other way."""
    markdown = pytest.importorskip("markdown_it", reason="needs the extra dev: markdown-it-py is not installed")
    found = {each.map[0] + 1 for each in markdown.MarkdownIt().parse(text) if each.type in ("fence", "code_block")}
    return found ^ {block.line for block in blocks_of(page, text)}


NAMED = sorted(
    {
        name
        for page in pages()
        for name in re.findall(r"(?:^ *from |^ *import |`)(ochy_async\.[\w.]+)", text_of(page), re.MULTILINE)
    }
)


@pytest.mark.parametrize("name", NAMED)
def test_pages_name_public_modules(name: str) -> None:
    """So that names and signatures which users copy change only on purpose."""
    module = name if name in MODULES else name.rpartition(".")[0]
    assert module in MODULES, f"{module} is not in the list of public modules"
    if module != name:
        assert name.removeprefix(f"{module}.") in {re.split(r"\W", line)[0] for line in listed_api()[module]}


def test_what_is_run_elsewhere_is_run() -> None:
    """The test names the page."""
    for page, test in ELSEWHERE.items():
        assert Path(page).name in text_of(test)


def test_what_the_docstring_of_the_package_shows_runs(tmp_path: Path) -> None:
    """The site shows it first; the names that it uses are those of the package."""
    (program,) = re.findall(r"\n\n((?: {4}.*\n)+)", ochy_async.__doc__ or "")
    imports = "from ochy_async import OchySession, SideView\n"
    assert not run(f"```python\n{imports}{textwrap.dedent(program)}```\n", tmp_path).problems


# --- the checks themselves --------------------------------------------------------------------------


def run(text: str, folder: Path) -> PageRun:
    """Runs a page with this text."""
    with page_folder(folder) as environment:
        return run_page("page.md", text, folder, environment)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```python\nimport no_such_module\n```\n", r"page.md:1 ended with 1(?s:.*)line 2(?s:.*)no_such_module"),
        ("x\n\n  ```sh\n  true\n  false\n  true\n  ```\n", "page.md:3 ended with 1"),
        ("```sh\nif\n```\n", "page.md:1 ended with 2"),
        ("```console\n$ exit 3\n```\n", "page.md:1 ended with 3, not 0"),
        ("<!-- exits with 3 -->\n```console\n$ true\n```\n", "page.md:2 ended with 0, not 3"),
        ("```console\noutput\n$ true\n```\n", "page.md:1 does not begin with a command"),
        ("```python\ndef test_it(ochy_emulator):\n    assert not ochy_emulator.url\n```\n", "page.md:1 ended with 1"),
        ('```sh\necho "$OCHY_API_KEY"\n```\n', "page.md:1 prints a secret"),
        ("```sh\ntrue\n```\n```python\nawait 1\n```\n", "page.md:4 ended with 1"),
        ("<!-- output of: false -->\n```text\n```\n", "page.md:2 ended with 1"),
    ],
)
def test_a_block_that_fails_is_named(text: str, why: str, tmp_path: Path) -> None:
    """By its line, with what it printed."""
    (problem,) = run(text, tmp_path).problems
    assert re.match(why, problem)


def test_a_command_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands after it run in a new shell."""
    monkeypatch.setattr(page_blocks, "SECONDS", 0.5)
    done = run("```sh\nsleep 300\n```\n```sh\nfalse\n```\n", tmp_path)
    assert [each.partition(",")[0] for each in done.problems] == [
        "page.md:1 ended with no end",
        "page.md:4 ended with 1",
    ]


def test_other_output_is_shown_as_it_is(tmp_path: Path) -> None:
    """What differs is replaced by what was printed; a `…` stands for any part."""
    parts = "  $ echo one two\n  one …\n  $ printf 'a\\nb\\nc\\n'\n  …\n  c\n  $ echo x\n  {}\n"
    shown = f"- a\n\n  ```console\n{parts}  ```\nend\n"
    assert run(shown.format("y"), tmp_path).text == shown.format("x")
    assert run(shown.format("x"), tmp_path).text == shown.format("x")


@pytest.mark.parametrize(
    ("printed", "shown", "fits"),
    [
        ("b77abbae-49a6-4d08-a56a-6d4937b7b5cd", "2017ceef-23b2-44cf-a729-507a47ea5c41", True),
        ("clip 6ce8945b155b", "clip 8df711b982b4", True),
        ("2026-11-27 01:21:26Z  took 3.4 s", "2025-01-02 11:22:33Z took 12 s", True),
        ("http://127.0.0.1:41377/x", "http://127.0.0.1:8100/x", True),
        ("/srv/a-b/c/results.csv", "/home/ada/results.csv", True),
        ("/srv/a-b/c/results.csv", "/home/ada/results.json", False),
        ("3 clips", "4 clips", False),
        ("3 clips", "3", False),
        ("3 clips", "…", True),
        ("results/results.csv", "other/results.csv", False),
    ],
)  # fmt: skip
def test_only_what_differs_from_run_to_run_may_differ(printed: str, shown: str, fits: bool, tmp_path: Path) -> None:
    """Ids, times, durations, ports and folders; numbers and names may not."""
    text = f"<!-- output of: echo '{printed}' -->\n```text\n{shown}\n```\n"
    assert (run(text, tmp_path).text == text) is fits


def test_blocks_of_a_page_share_a_shell_a_folder_with_clips_and_an_emulator(tmp_path: Path) -> None:
    """A program may await outside of functions, and reads what a command before it has written."""
    pytest.importorskip("click", reason="needs the extra cli: click is not installed")
    done = run(
        "```sh\nwhere=results\n```\n```sh\nochy analyze clips --view side --out $where\n```\n"
        "<!-- not run: it would fail -->\n```sh\nfalse\n```\n"
        "```python\nimport asyncio\nfrom ochy_async import load_records\nawait asyncio.sleep(0)\n"
        "assert len(list(load_records('results/results.jsonl'))) == 3\n```\n",
        tmp_path,
    )
    assert not done.problems


def test_an_asynchronous_test_is_run(tmp_path: Path) -> None:
    """Without an option, as the page shows it."""
    text = "```python\nasync def test_it(ochy_emulator):\n    assert {}ochy_emulator.url\n```\n"
    assert not run(text.format(""), tmp_path).problems
    assert run(text.format("not "), tmp_path).problems


def test_a_reason_stands_right_above_its_block() -> None:
    """Comments may stand between them; text may not."""
    above = "<!-- not run: it is slow -->\n<!-- first command -->\n```sh\na\n```\n"
    apart = "<!-- not run: it is slow -->\nText\n\n```sh\nb\n```\n"
    assert [block.reason for block in blocks_of("page.md", above + apart)] == ["it is slow", None]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```\ntrue\n```\n", "page.md:1 has no language that is known"),
        ("```shell\ntrue\n```\n", "page.md:1 has no language that is known"),
        ("<!-- not run: -->\n```sh\ntrue\n```\n", "page.md:2 does not say why it is not run"),
        ("<!-- not run: it is data -->\n```csv\na\n```\n", "page.md:2 is data and needs no reason"),
    ],
)
def test_a_mark_that_says_nothing_is_found(text: str, why: str) -> None:
    """As is a block that neither runs nor is data."""
    assert wrong_marks("page.md", text) == [why]


@pytest.mark.parametrize(
    "text", ["a\n\n    ochy doctor\n", "~~~sh\nochy doctor\n~~~\n", "> ```sh\n> ochy doctor\n> ```\n"]
)
def test_a_block_that_nothing_would_run_is_found(text: str) -> None:
    """Indented, with another fence, or in a quote."""
    assert overlooked("page.md", text)


def test_a_block_is_skipped_only_for_a_library_of_an_extra_that_is_missing() -> None:
    """Anything else that cannot be imported is a wrong page."""
    assert missing_extra("ModuleNotFoundError: No module named 'no_such_module'") is None
    assert missing_extra("Install it with: pip install 'ochy-async[test]'") is None
    assert missing_extra("No module named 'pytest'") is None
