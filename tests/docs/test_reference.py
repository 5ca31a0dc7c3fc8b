"""The reference has a place for every error, finding, variable, module and route, and its commands run."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest

import ochy_async
from ochy_async.emulator import Emulator, EmulatorSettings
from ochy_async.emulator.sample_clips import sample_clip
from ochy_async.errors import Finding, KeyRefused, OchyError
from ochy_async.protocol.routes import ROUTES
from tests.support.public_api import MODULES

PACKAGE = Path(ochy_async.__file__).parent
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
if not REFERENCE.exists():
    pytest.skip("an installed package has no docs", allow_module_level=True)


def page(name: str) -> str:
    """The text of a page of the reference."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def anchors(text: str) -> list[str]:
    """The anchors of a page's headings that are given by hand."""
    return re.findall(r"^#.* \{ #(\S+) \}$", text, re.MULTILINE)


# --- errors -----------------------------------------------------------------------------------------


def subclasses(kind: type[OchyError]) -> list[type[OchyError]]:
    """A class and all classes of the library below it."""
    below = [each for each in kind.__subclasses__() if each.__module__.startswith("ochy_async.")]
    return [kind, *(each for child in below for each in subclasses(child))]


def test_every_class_of_errors_has_its_place() -> None:
    """What `help` names is a heading of the page on errors."""
    listings = pytest.importorskip("docs.generator.listings", reason="needs the extra cli")
    listed = [f"reference/errors.html#{each}" for each in anchors(listings.LISTINGS["errors"]())]
    assert sorted(listed) == sorted(kind().help for kind in subclasses(OchyError))
    assert "<!-- generated: errors -->" in page("errors.md")


def test_an_error_of_a_program_has_the_help_of_its_base() -> None:
    """A class that a program adds has no place in the documentation of its own."""

    class Expired(KeyRefused):
        pass

    assert Expired().help == KeyRefused().help == "reference/errors.html#keyrefused"


def used_codes() -> set[str]:
    """The codes of findings in the library's source."""
    return {code for path in PACKAGE.rglob("*.py") for code in codes_in(path.read_text(encoding="utf-8"))}


def codes_in(source: str) -> set[str]:
    """The codes of findings in a module: given by keyword, as the third argument of `_warning`, or as a default."""
    found: set[str | None] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name in ("Finding", "_unusable"):
                found |= {constant(each.value) for each in node.keywords if each.arg == "code"}
            elif name == "_warning" and len(node.args) > 2:
                found.add(constant(node.args[2]))
        elif isinstance(node, ast.FunctionDef) and node.name == "_unusable":
            found |= {constant(each) for each in node.args.defaults}
    return {code for code in found if code}


def constant(node: ast.expr) -> str | None:
    """The text of a constant."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_every_finding_has_its_place() -> None:
    """The codes of the library are the headings of the page on findings, and `help` names them."""
    used = used_codes()
    assert {"too_big", "orientation", "deleted", "empty", "unusable"} <= used
    listed = [f"reference/findings.html#{each}" for each in anchors(page("findings.md"))]
    assert sorted(listed) == sorted(Finding("clip", "…", code=code).help for code in used)


def test_errors_and_warnings_are_told_apart() -> None:
    """Codes of warnings are those that the rules pass to `_warning`."""
    _, errors, warnings = re.split(r"^## .*$", page("findings.md"), flags=re.MULTILINE)
    rules = (PACKAGE / "preflight" / "rules.py").read_text(encoding="utf-8")
    warned = {code for code in used_codes() if re.search(rf'_warning\(.*"{code}"', rules)}
    assert set(anchors(warnings)) == warned
    assert set(anchors(errors)) == used_codes() - warned


# --- what else is listed ----------------------------------------------------------------------------


def test_every_environment_variable_is_listed() -> None:
    """Those in the source are those in the table."""
    used = {name for path in PACKAGE.rglob("*.py") for name in re.findall(r"\bOCHY_[A-Z_]+\b", path.read_text("utf-8"))}
    assert set(re.findall(r"^\| `(OCHY_[A-Z_]+)`", page("environment.md"), re.MULTILINE)) == used


@pytest.mark.parametrize("module", MODULES)
def test_every_public_module_has_a_page(module: str) -> None:
    """Its content comes from the docstrings."""
    assert f"::: {module}\n" in page(f"api/{module}.md")


def test_every_route_is_listed() -> None:
    """The table has the routes that the library calls, and marks those whose path is inferred."""
    rows = re.findall(r"^\| (GET|POST|PUT) \| `(\S+)` \|.*\| (\S.*) \|$", page("ochy-api.md"), re.MULTILINE)
    assert {f"{method} {path}" for method, path, _ in rows} == set(map(str, ROUTES))
    source = (PACKAGE / "protocol" / "routes.py").read_text(encoding="utf-8")
    inferred = {path for _, path, how in rows if "I" in how}
    assert inferred == set(re.findall(r'"(/\S+)"\)  # inferred', source))


def test_every_command_is_listed() -> None:
    """With its options, those of its group, and the variables that set them."""
    listings = pytest.importorskip("docs.generator.listings", reason="needs the extra cli")
    text = listings.LISTINGS["commands"]()
    from ochy_async.cli.app import COMMANDS

    assert {f"## ochy {name}" for name in COMMANDS} <= set(text.splitlines())
    assert "### ochy subjects create" in text
    assert "env var: OCHY_PREFLIGHT" in text


# --- commands for the API ---------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("curl") or os.name == "nt", reason="curl is not installed")
def test_the_commands_for_the_api_run(tmp_path: Path) -> None:
    """One after the other, in one shell, against the emulator; each prints what the page says."""
    (tmp_path / "runner.mp4").write_bytes(sample_clip(1))
    blocks = re.findall(r"^```sh\n(.*?)^```$", page("ochy-api.md"), re.MULTILINE | re.DOTALL)
    script = "\necho; echo ---\n".join(blocks)
    said = anyio.run(run_script, script, tmp_path).split("\n---\n")
    expected = (
        "[0-9a-f-]{8,}",
        '"biomechanical_analysis"',
        '"metrics"',
        "API Key is missing",
        '"Mia"',
        '"enabled": ?false',
    )
    assert len(said) == len(expected)
    for output, pattern in zip(said, expected, strict=True):
        assert re.search(pattern, output), (pattern, output)
    assert '"frames"' in (tmp_path / "landmarks.json").read_text(encoding="utf-8")


async def run_script(script: str, folder: Path) -> str:
    """What the commands print."""
    settings = EmulatorSettings(queue_seconds=0.0, analysis_seconds=(0.1, 0.2))
    async with Emulator(settings) as emulator:
        env = {**os.environ, "OCHY_BASE_URL": emulator.url, "OCHY_API_KEY": emulator.api_key, "NO_PROXY": "127.0.0.1"}
        done = await anyio.run_process(["sh", "-eu", "-c", script], cwd=folder, env=env, stderr=subprocess.PIPE)
        return done.stdout.decode()
