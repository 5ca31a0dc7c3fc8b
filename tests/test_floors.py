"""The structure of the package: imports go down, pure code stays pure, names are unique, and docs/design.md is true."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from importlib.util import resolve_name
from pathlib import Path
from typing import TypeGuard

import pytest

import ochy_async

PACKAGE = Path(ochy_async.__file__).parent
ROOT = PACKAGE.parent
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (*ROOT.glob("docs/*.md"), *ROOT.glob("[RC]*.md"))}


def floors() -> list[list[str]]:
    """The floors from top to bottom, read from the block in docs/design.md that is marked `floors`."""
    block = re.search(r"^```floors\n(.*?)^```", DESIGN, flags=re.MULTILINE | re.DOTALL)
    assert block is not None, "docs/design.md has no block ```floors"
    return [re.split(r"\s{2,}", line)[0].split(" · ") for line in block[1].splitlines()]


def documented_modules() -> dict[str, set[str]]:
    """The modules that the tables of docs/design.md name, by the package in whose table they stand."""
    sections = re.split(r"^### ochy_async\.?", DESIGN, flags=re.MULTILINE)[1:]
    return {
        section.partition("\n")[0]: set(re.findall(r"^\| `([\w.]+)` \| \S", section, re.MULTILINE))
        for section in sections
    }


FLOOR = {name: height for height, names in enumerate(reversed(floors())) for name in names}
SHARED = {"cli.display": {"cli.outcomes", "cli.quoting"}, "emulator.biomechanics": {"emulator.seeded_random"}}
"""The modules of a package that its own subpackage may import, although the package imports the subpackage."""
IMPURE = set("aiohttp anyio asyncio os pathlib random socket sqlite3 tempfile threading time".split())  # noqa: SIM905
PURE = (
    *("errors", "protocol", "policy", "gait", "events", "emulator.service", "emulator.faults"),
    *("journal.contract", "journal.encoding", "journal.transitions", "journal.sqlite.rows", "journal.sqlite.mounts"),
    *("journal.postgres.address", "journal.postgres.errors", "journal.postgres.schema"),
    *("batch.output.measures", "batch.unit_parsing", "webhooks.messages"),
)
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"  # it loads every public name when it is asked for
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}
FOLDERS = {module: ".".join(path.relative_to(PACKAGE).parent.parts) for module, path in FILES.items()}
NODES = [(module, node) for module, tree in TREES.items() for node in ast.walk(tree)]


def names_in(node: ast.AST) -> list[ast.Name]:
    """The plain names in a syntax tree."""
    return [each for each in ast.walk(node) if isinstance(each, ast.Name)]


def imports_of(module: str) -> set[str]:
    """Everything that a module imports, at its top or in a function; ours without the name of the package."""
    found: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = f"ochy_async.{FILES[module].parent.relative_to(PACKAGE).as_posix().replace('/', '.')}".rstrip(".")
            source = resolve_name("." * node.level + (node.module or ""), package)
            names = {f"{source}.{name.name}" for name in node.names}
            modules = {name for name in names if name.removeprefix("ochy_async.") in FILES}
            found |= names | ({source} if names - modules else set())
    return {name.removeprefix("ochy_async.") for name in found}


IMPORTS = {module: imports_of(module) for module in TREES}


def reached(modules: set[str]) -> set[str]:
    """The modules of ours that some modules import, directly or through others, themselves included."""
    more = modules.union(*(IMPORTS[module] & TREES.keys() for module in modules))
    return modules if more == modules else reached(more)


@pytest.mark.parametrize("module", sorted(TREES))
def test_every_import_goes_down(module: str) -> None:
    """A module imports from its own package and from lower floors."""
    package = module.split(".")[0]
    assert package in FLOOR, f"add `{package}` to the block ```floors in docs/design.md"
    others = {name.split(".")[0] for name in IMPORTS[module] & TREES.keys()} - {package}
    wrong = sorted(other for other in others if FLOOR[other] >= FLOOR[package])
    assert not wrong, f"{module} may not import {wrong}: the floors in docs/design.md put them beside or above it"


def test_every_floor_holds_modules_that_exist() -> None:
    """docs/design.md names no package on its floors that is gone."""
    gone = FLOOR.keys() - {module.split(".")[0] for module in TREES}
    assert not gone, f"remove or rename {sorted(gone)} in the block ```floors of docs/design.md"


def test_the_tables_of_the_design_name_every_module_and_no_other() -> None:
    """Each package of the tree has a section in docs/design.md, and each module has one line in it."""
    tree: dict[str, set[str]] = defaultdict(set)
    for module, folder in FOLDERS.items():
        tree[folder] |= {module} - set(FOLDERS.values())
    documented = documented_modules()
    assert documented.keys() == tree.keys(), "each `### ochy_async.…` heading of docs/design.md is one package"
    for folder, modules in tree.items():
        missing, gone = modules - documented[folder], documented[folder] - modules
        assert not missing, f"add a line `| `module` | what it does |` to docs/design.md for {sorted(missing)}"
        assert not gone, f"rename or remove the lines of {sorted(gone)} in docs/design.md"


EXTRAS = {
    "cli": ("cli", "click"),
    "dask": ("dask", "distributed"),
    "engines.dask": ("dask", "distributed"),
    "engines.pgqueuer": ("queue", "pgqueuer"),
    "protocol.arrow_stream": ("arrow", "nanoarrow"),
    "report": ("report", "htpy"),
    "report.figure_files": ("plot", "matplotlib"),
    "report.paper_figure": ("plot", "matplotlib"),
    "telemetry": ("otel", "opentelemetry.trace"),
}
"""The modules and packages that need an extra, with the extra and what it installs."""


def dotted_names() -> list[tuple[str, str]]:
    """Each page of the documentation, and a name in it that begins with a module or a package of ours."""
    found = {
        (page, name.removeprefix("ochy_async."))
        for page, text in PAGES.items()
        for name in re.findall(r"`([A-Za-z_]\w*(?:\.\w+)+)(?:\(.*?\))?`", text)
    }
    return sorted((page, name) for page, name in found if name.split(".")[0] in FLOOR and name != "clips.journal")


@pytest.mark.parametrize(("page", "name"), dotted_names())
def test_every_dotted_name_in_the_documentation_exists(page: str, name: str) -> None:
    """`policy.clip_states.NEXT` in a page is a module of ours, or a member of one."""
    parts = name.split(".")
    module = next(part for end in range(len(parts), 0, -1) if (part := ".".join(parts[:end])) in TREES)
    for place, (extra, library) in EXTRAS.items():
        if f"{module}.".startswith(f"{place}."):
            pytest.importorskip(library, reason=f"needs the extra {extra}: {library} is not installed")
    found = importlib.import_module(f"ochy_async.{module}")
    for member in parts[len(module.split(".")) :]:
        assert hasattr(found, member), f"{page} names `{name}`, which is gone: edit {page}"
        found = getattr(found, member)


def test_every_class_in_the_documentation_exists() -> None:
    """`DurationHistory` in a page is a class of ours, or one of the few classes of others that the pages name."""
    others = {"BytesIO", "CancelledError", "ClientSession", "MultipartWriter", "TypedDict"}
    ours = {node.name for _, node in NODES if isinstance(node, ast.ClassDef)}
    named = {
        (page, name)
        for page, text in PAGES.items()
        for name in re.findall(r"`((?:[A-Z][a-z]+){2,}|[A-Z][a-z]+[A-Z]+)\b[^`\n]*`", text)
    }
    gone = sorted((page, name) for page, name in named if name not in ours | others)
    assert named
    assert not gone, f"edit the pages that name classes that are gone: {gone}"


def test_every_path_in_the_documentation_exists() -> None:
    """`tests/support/kills.py` in a page is a file, relative to the project or to the package; a run makes others."""
    named = {(page, path) for page, text in PAGES.items() for path in re.findall(r"`([\w./-]+/[\w./-]+\.\w+)`", text)}
    ours = {(page, path) for page, path in named if not path.startswith(("clips/", "results/"))}
    gone = [(page, path) for page, path in ours if not ((ROOT / path).exists() or (PACKAGE / path).exists())]
    assert named
    assert not gone, f"edit the pages that name them: {gone}"


def test_every_link_in_the_documentation_leads_to_a_file() -> None:
    """Links that name no host are relative to their page."""
    pages = (*ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("*.md"))
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    ]
    gone = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert links
    assert not gone, f"edit the pages that link to them: {gone}"


def test_a_class_name_stands_in_one_module() -> None:
    """A class name, leading underscores aside, is defined by one module of the package."""
    homes: dict[str, set[str]] = defaultdict(set)
    for module, node in NODES:
        if isinstance(node, ast.ClassDef):
            homes[node.name.lstrip("_")].add(module)
    doubled = {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}
    assert not doubled, f"rename the classes of each line to what they hold: {doubled}"


def test_no_two_packages_import_each_other() -> None:
    """If a module of one folder imports from another folder, no module of the latter imports from the former.

    Top-level modules have floors of their own, so they are not compared here.
    """
    arrows: dict[tuple[str, str], set[str]] = defaultdict(set)
    shared: dict[str, set[str]] = defaultdict(set)
    for module, folder in FOLDERS.items():
        for name in IMPORTS[module] & TREES.keys():
            if name in SHARED.get(folder, ()):
                shared[folder].add(name)
            else:
                arrows[folder, FOLDERS[name]].add(f"{module} imports {name}")
    ties = {pair: sorted(arrows[pair]) for pair in arrows if all(pair) and pair[0] != pair[1] and pair[::-1] in arrows}
    assert not ties, f"move what both packages need to the lower one: {ties}"
    assert shared == SHARED, "SHARED names a module that its subpackage does not import"


def test_modules_import_from_modules_and_not_from_the_top_of_the_package() -> None:
    """Inside the package a name comes from its own module: `ochy_async` itself reaches every floor."""
    public = set(ochy_async.__all__) - {"__version__"}
    assert not [module for module in TREES if IMPORTS[module] & public and FLOOR[module.split(".")[0]] < FLOOR["cli"]]


@pytest.mark.parametrize("pure", PURE)
def test_pure_means_pure(pure: str) -> None:
    """A pure module imports no network, clock, random source or file system, not even through other modules."""
    modules = {module for module in TREES if module == pure or module.startswith(f"{pure}.")}
    assert modules
    assert not {(each, name) for each in reached(modules) for name in IMPORTS[each] if name.split(".")[0] in IMPURE}


def test_there_is_no_cycle() -> None:
    """No module imports itself through others."""
    assert not [module for module in TREES if module in reached((IMPORTS[module] & TREES.keys()) - {module})]


def test_the_emulator_does_not_know_the_client() -> None:
    """Only `in_process` shares the values of the wire with the client, so the two can disagree on everything else."""
    known = {module: IMPORTS[module] & TREES.keys() for module in TREES if module.startswith("emulator.")}
    foreign = {module: {name for name in names if not name.startswith("emulator.")} for module, names in known.items()}
    assert {module: names for module, names in foreign.items() if names} == {
        "emulator.in_process": {"errors", "protocol.wire"}
    }


def test_aiohttp_is_imported_at_the_wire_only() -> None:
    """Transport and storage use it, `http_client` opens its clients, and the session names the type of a session that
    it is lent. The emulator is the other side of the wire: it serves, reads forms, and posts to webhooks. Webhooks are
    served by aiohttp.web."""
    users = {module for module in TREES if "aiohttp" in {name.split(".")[0] for name in IMPORTS[module]}}
    emulator = {"emulator.server", "emulator.multipart", "emulator.loopback_poster"}
    webhooks = {"webhooks.aiohttp_web", "webhooks.hooks", "cli.webhook_server"}
    assert users - emulator - webhooks == {"http_client", "transport", "storage", "session"}


def test_sqlite_is_imported_in_two_modules_of_the_journal_only() -> None:
    """One module makes the connection, and one translates its errors."""
    users = {module for module in TREES if "sqlite3" in IMPORTS[module]}
    assert users == {"journal.sqlite.connection", "journal.sqlite.errors"}


def test_no_broad_exception_is_swallowed() -> None:
    """No handler is `except Exception: pass`."""
    handlers = [(module, node) for module, node in NODES if isinstance(node, ast.ExceptHandler)]
    broad = [
        (module, node)
        for module, node in handlers
        if node.type is None or {"Exception", "BaseException"} & {name.id for name in names_in(node.type)}
    ]
    assert handlers
    assert not [(module, node.lineno) for module, node in broad if isinstance(node.body[0], ast.Pass)]


def test_nothing_outlives_its_block() -> None:
    """No task is created without a task group that waits for it.

    The emulator's server, the relay to a bus and the journal in Postgres create one in a task group of asyncio, which
    may be left by another task than the one that entered it. The engines wait for a task of their own: its error must
    not cancel whoever opened it, and must not come in a group.
    """
    used = {(module, node.attr) for module, node in NODES if isinstance(node, ast.Attribute)}
    used |= {(module, node.id) for module, node in NODES if isinstance(node, ast.Name)}
    users = {module for module, name in used if name in ("create_task", "ensure_future")}
    in_groups = {"emulator.server", "webhooks.relay", "journal.postgres.connections"}
    assert users <= in_groups | {"engines.feeder", "engines.pgqueuer"}


MAKERS = {"durable_files", "cli.commands.demo", "emulator.video_rendering"}
"""The module that makes files and folders; the demo, whose temporary folder is private and whose clips are drawn; and
what encodes a video into memory."""


def test_no_other_module_makes_files_or_folders() -> None:
    """So none leaves health data to the umask. A journal opens its file by hand, with its mode."""
    found = {f"{module}, line {node.lineno}": module for module, node in NODES if makes_files(node)}
    others = sorted(place for place, module in found.items() if module not in MAKERS)
    assert found
    assert not others, f"use ochy_async.durable_files in {others}"


def makes_files(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether a node of a syntax tree is a call that makes a file or a folder whose mode is left to the umask."""
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name == "open":
        texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        return any(set(text) & set("wax+") and set(text) <= set("wax+bt") for text in texts)
    return name in {"mkdir", "makedirs", "write_text", "write_bytes", "copyfile", "copy2", "touch"}
