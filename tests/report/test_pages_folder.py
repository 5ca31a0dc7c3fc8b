"""The folder of a report: which files are replaced, removed and left alone, and what an interruption leaves."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.durable_files import write_file
from ochy_async.errors import OutputError
from ochy_async.report import write_report
from ochy_async.report.pages_folder import PagesFolder
from ochy_async.report.statistics import folder_statistics
from tests.support.report_folders import record, write_records


def report_on(folder: Path, *numbers: int) -> Path:
    """Writes the records with these numbers and a report on them, and returns its folder."""
    return write_report(write_records(folder, *map(record, numbers))).parent


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pages_of_analyses_that_are_gone_are_removed(tmp_path: Path) -> None:
    """A report written again holds what the table holds now."""
    report_on(tmp_path, 0, 1, 2)
    pages = report_on(tmp_path, 1)
    assert names_in(pages) == ["index.html", "run-1.analysis-1.html"]


def test_an_overview_of_many_analyses_is_replaced(tmp_path: Path) -> None:
    """However large a page is, the next report knows it."""
    folder = PagesFolder(tmp_path)
    folder.write("index.html", "<p>a row of the table</p>" * 200_000)
    folder.open(["index.html"])
    (tmp_path / "index.html").write_text("<p>of the user</p>" * 300_000)
    with pytest.raises(OutputError, match="index"):
        folder.open(["index.html"])


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    """Other files, a page of the user's, a copy, an edited page, a folder and a link are not removed."""
    pages = report_on(tmp_path, 0, 1, 2)
    stale = pages / "run-0.analysis-0.html"
    (pages / "notes.txt").write_text("mine", encoding="utf-8")
    (pages / "mine.html").write_text("<p>mine", encoding="utf-8")
    (pages / "copy.html").write_bytes(stale.read_bytes())
    (pages / "folder.html").mkdir()
    edited = stale.read_text(encoding="utf-8").replace("Work on this first", "Work on this next week")
    stale.write_text(edited, encoding="utf-8")
    if os.name == "posix":
        (pages / "link.html").symlink_to(pages / "run-2.analysis-2.html")
    before = set(names_in(pages))
    report_on(tmp_path, 1)
    assert before - set(names_in(pages)) == {"run-2.analysis-2.html"}
    assert stale.read_text(encoding="utf-8") == edited


@pytest.mark.parametrize("name", ["index.html", "run-0.analysis-0.html"])
@pytest.mark.parametrize("content", ["<p>mine", ""])
def test_a_file_of_the_user_is_not_replaced(tmp_path: Path, name: str, content: str) -> None:
    """A page that needs the name of another file is an error that names it, and nothing is written."""
    folder = write_records(tmp_path / "results", record(0))
    target = tmp_path / "site"
    target.mkdir()
    (target / name).write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match=re.escape(name)) as error:
        write_report(folder, target)
    assert "Nothing was written" in str(error.value)
    assert names_in(target) == [name]
    assert (target / name).read_text(encoding="utf-8") == content


@pytest.mark.skipif(os.name != "posix", reason="Windows needs a privilege for links")
def test_a_link_is_not_replaced(tmp_path: Path) -> None:
    """Not even one that leads nowhere."""
    folder = write_records(tmp_path, record(0))
    (folder / "report").mkdir()
    (folder / "report" / "index.html").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match=r"index\.html"):
        write_report(folder)


def links_of(overview: Path) -> list[str]:
    return re.findall(r'<a href="([^"]+)"', overview.read_text(encoding="utf-8"))


@pytest.mark.parametrize("fails_at", range(5))
def test_an_interruption_leaves_a_report_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Wherever the writing ends, an overview is there, whole, and every page to which it leads."""
    report_on(tmp_path, 0, 1, 2)
    write_records(tmp_path, *map(record, (1, 2, 3)))
    calls = 0

    def interrupted(path: Path, content: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls > fails_at:
            raise KeyboardInterrupt
        write_file(path, content)

    monkeypatch.setattr("ochy_async.report.pages_folder.write_file", interrupted)
    try:
        write_report(tmp_path)
    except KeyboardInterrupt:
        assert fails_at < 4
    pages = tmp_path / "report"
    assert len(links_of(pages / "index.html")) == 3
    assert all((pages / link).is_file() for link in links_of(pages / "index.html"))
    assert all(path.suffix == ".html" for path in pages.iterdir())
    assert ("run-0.analysis-0.html" in names_in(pages)) == (fails_at < 4)


def test_a_table_that_changes_meanwhile_mixes_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that ends may replace the table between the two times that it is read."""
    write_records(tmp_path, *map(record, (0, 1)))

    def replaced_after(*arguments: Any) -> Any:
        statistics = folder_statistics(*arguments)
        write_records(tmp_path, *map(record, (1, 0)))
        return statistics

    monkeypatch.setattr("ochy_async.report.writer.folder_statistics", replaced_after)
    with pytest.raises(OutputError, match="changed while"):
        write_report(tmp_path)
    assert not (tmp_path / "report" / "index.html").exists()


@pytest.mark.skipif(os.name != "posix", reason="only there names may be any bytes")
def test_a_folder_with_an_odd_name_has_a_report(tmp_path: Path) -> None:
    """Bytes that are no text and control characters are replaced."""
    folder = tmp_path / os.fsdecode(b"\xff\x1b[31m")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes text only")
    overview = write_report(write_records(folder, record(0)))
    assert "\N{REPLACEMENT CHARACTER}" in overview.read_text(encoding="utf-8")
