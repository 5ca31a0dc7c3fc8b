"""The site's pages keep their links, and what is wrong with a built site is found."""

from __future__ import annotations

from pathlib import Path

import pytest

pages = pytest.importorskip("docs.generator.pages", reason="an installed package has no docs")
check = pytest.importorskip("docs.generator.check")
listings = pytest.importorskip("docs.generator.listings", reason="needs the extra cli")

NAMES = {"README.md": "index.md", "docs/money.md": "money.md", "docs/reference/errors.md": "reference/errors.md"}


@pytest.mark.parametrize(
    ("source", "link", "on_the_site"),
    [
        ("README.md", "docs/money.md#doubts", "money.md#doubts"),
        ("docs/money.md", "reference/errors.md", "reference/errors.md"),
        ("docs/reference/errors.md", "../money.md", "../money.md"),
        ("docs/reference/errors.md", "../../README.md", "../index.md"),
        ("README.md", "ochy_async/errors.py", "files/ochy_async/errors.py.txt"),
        ("docs/reference/errors.md", "../../LICENSE", "../files/LICENSE"),
        ("README.md", "https://www.ochy.io", "https://www.ochy.io"),
        ("README.md", "#limits", "#limits"),
    ],
)
def test_a_link_leads_to_the_same_place_on_the_site(source: str, link: str, on_the_site: str) -> None:
    """Pages lead to pages; other files of the repository are put into a folder of the site."""
    text, files = pages.page_of(source, f"See [this\none]({link}).", NAMES)
    assert text == f"See [this\none]({on_the_site})."
    assert all(f"files/{each}" in on_the_site for each in files)


def test_a_block_of_code_stays_as_it_is() -> None:
    """Brackets in code are no links."""
    text = "```python\nrows[0](no_file)\n```\n"
    assert pages.page_of("README.md", text, NAMES) == (text, [])


def test_a_link_to_a_missing_file_is_refused() -> None:
    """The error names the page and the link."""
    with pytest.raises(pages.UnknownLink, match=r"README\.md links to docs/none\.md"):
        pages.page_of("README.md", "[x](docs/none.md)", NAMES)


@pytest.mark.parametrize(
    ("text", "nested"),
    [
        ("1. a\n\n   ```sh\n   b\n\n     c\n   ```\n2. d\n", "1. a\n\n    ```sh\n    b\n\n      c\n    ```\n\n2. d\n"),
        ("1. a\n   b\n\n   | c |\n\nd\n", "1. a\n    b\n\n    | c |\n\nd\n"),
        ("- a\n\n  b\n\n  - c\n\n    d\n- e\n", "- a\n\n    b\n\n    - c\n\n        d\n\n- e\n"),
        ("1. a\n\n   b\n2. c\n\nd\n- e\n- f\n", "1. a\n\n    b\n\n2. c\n\nd\n- e\n- f\n"),
        ("100. a\n\n     b\n", "100. a\n\n    b\n"),
        ("```text\n1. a\n   b\n```\n   c\n", "```text\n1. a\n   b\n```\n   c\n"),
        ("---\n1.5\n  *a*\n", "---\n1.5\n  *a*\n"),
    ],
)
def test_what_belongs_to_an_item_is_indented_as_the_builder_needs_it(text: str, nested: str) -> None:
    """By four spaces for each list; blocks of code that belong to no item stay as they are."""
    assert pages.nested_by_four(text) == nested


def test_all_pages_can_be_gathered(tmp_path: Path) -> None:
    """No link of a page leads nowhere, every listing is known, and every page is in the navigation."""
    pages.gather(tmp_path, listings.LISTINGS)
    found = {each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*.md")}
    config = (pages.ROOT / "docs" / "generator" / "zensical.toml").read_text(encoding="utf-8")
    assert {each for each in found if f'"{each}"' not in config} == set()


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "page.html loads https://cdn.example/x.js"),
        ('<script src="//cdn.example/x.js"></script>', "page.html loads //cdn.example/x.js"),
        ('<link rel="stylesheet" href="https://fonts.example/x">', "page.html loads https://fonts.example/x"),
        ('<img src="http://pictures.example/x.png">', "page.html loads http://pictures.example/x.png"),
        ('<p style="background: url(https://x.example/y)">', "page.html loads https://x.example/y"),
        ('<pre class="mermaid"></pre>', "page.html loads https://unpkg.com/mermaid"),
        ("<style>@import 'https://x.example/y';</style>", "page.html loads https://x.example/y"),
        ('<a href="none.html">', "page.html links to none.html, which does not exist"),
        ('<a href="#none">', "page.html links to #none, which does not exist"),
        ('<img src="none.png">', "page.html links to none.png, which does not exist"),
        ("<h2 id=a></h2><ol></ol><ol></ol>", "page.html has two numbered lists in the section #a; both begin with 1"),
        ("<p>a\n2. <b>b</b></p>", "page.html has the item of a list within a paragraph: 2."),
        ("<p>a\n- b</p>", "page.html has the item of a list within a paragraph: - b"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(tmp_path: Path, html: str, problem: str) -> None:
    """Links that lead nowhere, and whatever a browser would load from elsewhere."""
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    assert list(check.problems_of(tmp_path)) == [problem]


def test_what_is_wrong_with_a_style_sheet_is_found(tmp_path: Path) -> None:
    """Fonts and pictures of style sheets are loaded too."""
    (tmp_path / "style.css").write_text('a { background: url("https://x.example/y.woff2") }', encoding="utf-8")
    assert list(check.problems_of(tmp_path)) == ["style.css loads https://x.example/y.woff2"]


def test_a_page_in_order_has_no_problem(tmp_path: Path) -> None:
    """Links to elsewhere are for the reader to follow."""
    page = (
        '<h1 id="top"></h1><a href="https://www.ochy.io"></a><a href="#top"></a><a href="page.html#top"></a>'
        "<ol><li>a<ol></ol><ol></ol></li></ol><h2 id='b'></h2><ol></ol><p>1. a</p><pre>\n1. b</pre>"
    )
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert list(check.problems_of(tmp_path)) == []


def test_a_public_name_without_explanation_is_found(tmp_path: Path) -> None:
    """The page of a module has an anchor for each of its names, and for each member of its classes."""
    (tmp_path / "reference" / "api").mkdir(parents=True)
    shown = '<h2 id="pack.part.Told"></h2><h3 id="pack.part.Told.size"></h3>'
    (tmp_path / "reference" / "api" / "pack.part.html").write_text(shown, encoding="utf-8")
    listing = (
        "# pack.part\nTold(Exception)\nTold.__init__(self)\nTold.size: int\nTold.word = 'x'\nuntold(a: int) -> str\n"
    )
    assert list(check.unexplained(tmp_path, check.public_names(listing))) == [
        "pack.part.Told.word is not shown, or has no docstring",
        "pack.part.untold is not shown, or has no docstring",
    ]


def test_a_wrong_docstring_is_found() -> None:
    """griffe says it on standard error, among what the builder says."""
    warning = "griffe: ochy_async/session.py:268: Parameter 'nosuch' does not appear in the function signature"
    assert check.warnings_of(f"Build started\n{warning}\n") == [warning]


def test_an_upright_bar_stands_in_a_cell_as_it_is() -> None:
    """In code the builder would show a backslash before it."""
    rows = iter([("`--view [side|back]`", "a | b")])
    assert listings._table(("x", "y"), rows).splitlines()[-1] == "| `--view [side|back]` | a \\| b |"
