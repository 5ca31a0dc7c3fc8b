"""A manifest names clips with their requests; one error lists everything that is wrong with it, by line."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest

from ochy_async import BackView, SideView
from ochy_async.batch.manifest import known_column, read_manifest
from ochy_async.errors import InvalidRequest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three clips and a folder."""
    for name in ("a.mp4", "b.mp4", 'run, "fast" é.mp4'):
        (tmp_path / name).write_bytes(b"clip")
    (tmp_path / "d.mp4").mkdir()
    return tmp_path


def read(folder: Path, content: str | bytes, **defaults: Any) -> list[tuple[str, Any]]:
    manifest = folder / "runners.csv"
    manifest.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = read_manifest(manifest, **defaults)
    paths = [Path(str(row.clip)) for row in rows]
    assert all(path.parent == folder for path in paths)
    return [(path.name, row.request) for path, row in zip(paths, rows, strict=True)]


GOOD: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "every column": (
        "file,view,height,weight,pace,treadmill,language,full_body,subject_id,notify_via_webhook\n"
        "a.mp4,back,1.81,66.5,05:30,yes,fr,no,s-1,TRUE\n",
        [
            (
                "a.mp4",
                BackView(
                    height=1.81,
                    weight=66.5,
                    pace="05:30",
                    treadmill=True,
                    language="fr",
                    full_body=False,
                    subject_id="s-1",
                    notify_via_webhook=True,
                ),
            )
        ],
    ),
    "both views": ("file,view\na.mp4,side_view\nb.mp4,Back\n", [("a.mp4", SideView()), ("b.mp4", BackView())]),
    "names as people write them": ("File, View ,Subject\r\na.mp4,side,x\r\n", [("a.mp4", SideView(subject_id="x"))]),
    "semicolons and decimal commas": (
        "file;view;height\na.mp4;side;1,75\n",
        [("a.mp4", SideView(height=1.75))],
    ),
    "measures as people write them": (
        "file;view;height;weight;pace\na.mp4;side;175 cm;150 lb;4:30\n",
        [("a.mp4", SideView(height=1.75, weight=68.0388555, pace="04:30"))],
    ),
    "tabs": ("file\tview\na.mp4\tside\n", [("a.mp4", SideView())]),
    "empty lines and rows": ("\nfile,view\n\n,\na.mp4,side\n\n", [("a.mp4", SideView())]),
    "quotes": ('file,view\n"run, ""fast"" é.mp4",side\n', [('run, "fast" é.mp4', SideView())]),
    "a file twice": (
        "file,view,height\na.mp4,side,1.6\na.mp4,side,1.8\n",
        [("a.mp4", SideView(height=1.6)), ("a.mp4", SideView(height=1.8))],
    ),
}


@pytest.mark.parametrize(("content", "rows"), GOOD.values(), ids=GOOD)
def test_rows_become_clips_with_requests(folder: Path, content: str, rows: list[tuple[str, Any]]) -> None:
    """File names are relative to the manifest; a byte order mark changes nothing."""
    assert read(folder, content) == rows
    assert read(folder, codecs.BOM_UTF8 + content.encode()) == rows


@pytest.mark.parametrize(
    ("content", "defaults", "requests"),
    [
        ("file\na.mp4\n", {"view": "back", "full_body": False}, [BackView(full_body=False)]),
        ("file,view\na.mp4,\nb.mp4,side\n", {"view": "back"}, [BackView(), SideView()]),
        ("file,view\na.mp4,side\nb.mp4,back\n", {"full_body": False}, [SideView(), BackView(full_body=False)]),
        ("file,pace\na.mp4,05:00\n", {"view": "side", "treadmill": True}, [SideView(treadmill=True, pace="05:00")]),
        ("file,height\na.mp4,\nb.mp4,1.9\n", {"view": "side", "height": 1.6, "pace": None}, [1.6, 1.9]),
    ],
)
def test_missing_values_take_the_defaults(
    folder: Path, content: str, defaults: dict[str, Any], requests: list[Any]
) -> None:
    """Empty cells and missing columns do; a default for one view does not reach the other."""
    wanted = [SideView(height=each) if isinstance(each, float) else each for each in requests]
    assert [request for _, request in read(folder, content, **defaults)] == wanted


BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "nothing": ("", ["manifest: is empty"]),
    "blanks": (" \r\n\n", ["manifest: is empty"]),
    "a header only": ("file,view\n", ["manifest: names no clip"]),
    "no column file": ("view\nside\n", ["line 1: the column 'file' is missing"]),
    "unknown columns": (
        "file,view,hight,\n",
        ["line 1: the column 'hight' looks like 'height': rename it, or", "line 1: a column has no name"],
    ),
    "a column twice": ("file,view,View\n", ["line 1, view: appears twice"]),
    "a column under both names": ("file,subject,subject_id\n", ["line 1, subject_id: appears twice"]),
    "no view": ("file\na.mp4\n", ["line 2, view: is missing"]),
    "a missing file": ("file,view\nc.mp4,side\n", ["line 2, file: "]),
    "a folder": ("file,view\nd.mp4,side\n", ["line 2, file: "]),
    "an impossible name": ("file,view\nx\0.mp4,side\n", ["line 2, file: "]),
    "no name": ("file,view\n,side\n", ["line 2, file: is empty"]),
    "too few cells": ("file,view,pace\na.mp4,side\n", ["line 2: has 2 cells where the header names 3"]),
    "too many cells": ("file,view\na.mp4,side,1.7\n", ["line 2: has 3 cells where the header names 2"]),
    "every cell": (
        "file,view,height,weight,pace,treadmill,language,full_body,notify_via_webhook\n"
        "a.mp4,side,175,x,5:3,perhaps,tlh,yes,2\n",
        [
            "line 2, weight: must be a number of kilograms",
            "line 2, pace: must be minutes",
            "line 2, treadmill: must be yes or no",
            "line 2, notify_via_webhook: must be yes or no",
            "line 2, full_body: is for the back view only",
            "line 2, height: looks like centimeters",
            "line 2, language: must be one of",
        ],
    ),
    "every row": (
        "file,view\nc.mp4,side\na.mp4,top\nb.mp4,side\n\n,back\n",
        ["line 2, file: ", "line 3, view: must be side or back", "line 6, file: is empty"],
    ),
    "a row after one over several lines": (
        'file,view,subject\na.mp4,side,"x\ny"\nc.mp4,side,\n',
        ["line 4, file: "],
    ),
    "a column of one's own twice": ("file,view,x,x\n", ["line 1, x: appears twice"]),
    "nan": ("file,view,height\na.mp4,side,nan\n", ["line 2, height: must be a number of meters"]),
    "open quotes": ('file,view\na.mp4,side\n"b.mp4,side\n', ["line 3: its quotes are invalid"]),
    "stray quotes": ('file,view\n"a".mp4,side\n', ["line 2: its quotes are invalid"]),
    "latin-1": ("file,view\na.mp4,side\né.mp4,side\n".encode("latin-1"), ["line 3: is not UTF-8"]),
    "utf-16": ("file,view\na.mp4,side\n".encode("utf-16"), ["manifest: is UTF-16"]),
}


@pytest.mark.parametrize(("content", "problems"), BAD.values(), ids=BAD)
def test_every_problem_is_listed(folder: Path, content: str | bytes, problems: list[str]) -> None:
    """In one error, by line and column."""
    with pytest.raises(InvalidRequest) as caught:
        read(folder, content)
    found = [str(problem) for problem in caught.value.problems]
    assert len(found) == len(problems), found
    assert all(each.startswith(begin) for each, begin in zip(found, problems, strict=True)), found
    assert "runners.csv" in str(caught.value)
    assert all(each in str(caught.value) for each in found)


def test_problems_do_not_quote_cells(folder: Path) -> None:
    """A cell may hold health data: the error names the place only."""
    with pytest.raises(InvalidRequest) as caught:
        read(folder, "file,view,height,weight,pace\na.mp4,side,181,72 kilos,4:31:7\n")
    assert len(caught.value.problems) == 3
    told = str(caught.value).replace(str(folder), "")  # the folder's own name may hold such digits
    assert not [each for each in ("181", "72", "4:31") if each in told]


def test_an_unreadable_manifest_is_a_problem_too(folder: Path) -> None:
    """A missing file and a folder."""
    for name in ("gone.csv", "d.mp4", "x\0"):
        with pytest.raises(InvalidRequest, match="manifest: cannot be read"):
            read_manifest(folder / name)


OWN = (
    "Note",
    "age",
    "sex",
    "group",
    "race",
    "trial",
    "speed",
    "date",
    "session",
    "site",
    "shoe size",
    "name",
    "id",
    "x",
)
MEANT = {
    **dict.fromkeys(
        ("hieght", "heigth", "hight", "Height (cm)", "height_m", "height cm", "Größe", "body height"), "height"
    ),
    **dict.fromkeys(("weigth", "wieght", "weights", "weight kg", "Weight [lb]", "Gewicht", "body-mass"), "weight"),
    **dict.fromkeys(("paces", "pace min/km"), "pace"),
    **dict.fromkeys(("tredmill", "treadmil", "threadmill"), "treadmill"),
    "subjects": "subject",
    "subjectid": "subject_id",
    "languages": "language",
    "fullbody": "full_body",
}


@pytest.mark.parametrize(("heading", "known"), [*MEANT.items(), *((own, None) for own in OWN)])
def test_misspelled_columns_are_found(heading: str, known: str | None) -> None:
    """Those that would lead to a wrong analysis; other columns of a lab are accepted."""
    assert known_column(heading) == known


def test_other_columns_are_kept_as_text(folder: Path) -> None:
    """Unchanged, empty cells too; and each item knows its line."""
    (folder / "runners.csv").write_text(
        "file,Trial No,view,Größe in EU\na.mp4, 1 ,side,\nb.mp4,2,back,=wide\n", encoding="utf-8"
    )
    first, second = read_manifest(folder / "runners.csv")
    assert (first.extra, second.extra) == (
        {"Trial No": "1", "Größe in EU": ""},
        {"Trial No": "2", "Größe in EU": "=wide"},
    )
    assert second.where == "runners.csv, line 3"
    assert "wide" not in repr(second)


def test_a_column_that_looks_misspelled_can_be_accepted_by_name(folder: Path) -> None:
    """A known column that is named so is not read either."""
    (folder / "runners.csv").write_text("file,view,place,height\na.mp4,side,3,cold\n")
    (row,) = read_manifest(folder / "runners.csv", extra_columns=("place", "height"))
    assert row.extra == {"place": "3", "height": "cold"}
    assert row.request == SideView()


def test_a_height_of_175_is_refused_with_the_accepted_forms(folder: Path) -> None:
    """175 is ambiguous; 175 cm is not."""
    with pytest.raises(InvalidRequest, match=r"looks like centimeters.*'175 cm'"):
        read(folder, "file,view,height\na.mp4,side,175\n")
