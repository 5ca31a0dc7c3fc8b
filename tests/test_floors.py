"""The house stands on its floors: every import goes down, strangers stay strangers, what is pure stays pure."""

from __future__ import annotations

import ast
from importlib.util import resolve_name
from pathlib import Path

import pytest

import ochy_async

HOUSE = Path(ochy_async.__file__).parent
FLOORS = (
    "_version errors field_docs",
    "protocol",
    "policy",
    "network cancellation",
    "proxies",
    "transport storage journal clips events emulator loaders",
    "core",
    "starting waiting preflight",
    "batch",
    "session",
    "cli",
)
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms.split()}
IMPURE = set("aiohttp anyio asyncio os pathlib random socket sqlite3 tempfile threading time".split())  # noqa: SIM905
PURE_ROOMS = (
    *("errors", "protocol", "policy", "events", "emulator.service", "emulator.faults"),
    *("journal.contract", "journal.transitions", "journal.sqlite.rows", "journal.sqlite.mounts"),
    *("batch.output.measures", "batch.quantities"),
)
FILES = {
    ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in HOUSE.rglob("*.py")
    if path != HOUSE / "__init__.py"  # the front door, which loads every room when it is asked for
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}
NODES = [(module, node) for module, tree in TREES.items() for node in ast.walk(tree)]


def names_in(node: ast.AST) -> list[ast.Name]:
    """The plain names in a piece of a program."""
    return [each for each in ast.walk(node) if isinstance(each, ast.Name)]


def imports_of(module: str) -> set[str]:
    """All that a module imports, wherever in it; ours without the name of the package."""
    found: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = f"ochy_async.{FILES[module].parent.relative_to(HOUSE).as_posix().replace('/', '.')}".rstrip(".")
            source = resolve_name("." * node.level + (node.module or ""), package)
            names = {f"{source}.{name.name}" for name in node.names}
            modules = {name for name in names if name.removeprefix("ochy_async.") in FILES}
            found |= names | ({source} if names - modules else set())
    return {name.removeprefix("ochy_async.") for name in found}


IMPORTS = {module: imports_of(module) for module in TREES}


def reached(modules: set[str]) -> set[str]:
    """All of ours that some modules reach, themselves included."""
    more = modules.union(*(IMPORTS[module] & TREES.keys() for module in modules))
    return modules if more == modules else reached(more)


@pytest.mark.parametrize("module", sorted(TREES))
def test_every_import_goes_down(module: str) -> None:
    """A module imports its own room and lower floors; rooms on one floor are strangers."""
    room = module.split(".")[0]
    others = {name.split(".")[0] for name in IMPORTS[module] & TREES.keys()} - {room}
    assert room in FLOOR
    assert not [other for other in others if FLOOR[other] >= FLOOR[room]]


def test_the_front_door_is_for_guests() -> None:
    """Inside the house one goes to the room itself: the front door reaches all floors."""
    public = set(ochy_async.__all__) - {"__version__"}
    assert not [module for module in TREES if IMPORTS[module] & public and FLOOR[module.split(".")[0]] < FLOOR["cli"]]


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_pure_means_pure(room: str) -> None:
    """Nothing that waits, opens, draws or tells the time is in reach, over other modules of ours neither."""
    modules = {module for module in TREES if module == room or module.startswith(f"{room}.")}
    assert modules
    assert not {(each, name) for each in reached(modules) for name in IMPORTS[each] if name.split(".")[0] in IMPURE}


def test_there_is_no_cycle() -> None:
    """No module reaches itself."""
    assert not [module for module in TREES if module in reached((IMPORTS[module] & TREES.keys()) - {module})]


def test_the_emulator_does_not_know_the_client() -> None:
    """It shares the words of the wire with it, in one module, so the two can disagree about all else."""
    known = {module: IMPORTS[module] & TREES.keys() for module in TREES if module.startswith("emulator.")}
    strangers = {
        module: {name for name in names if not name.startswith("emulator.")} for module, names in known.items()
    }
    assert {module: names for module, names in strangers.items() if names} == {
        "emulator.in_process": {"errors", "protocol.wire"}
    }


def test_aiohttp_is_known_at_the_wire_only() -> None:
    """Transport and storage speak it, their errors are translated in the network's room, that of both; the session
    knows the type of what it borrows; the emulator's server is another side."""
    users = {module for module in TREES if "aiohttp" in {name.split(".")[0] for name in IMPORTS[module]}}
    assert users - {"emulator.server", "emulator.multipart"} == {"network", "transport", "storage", "session"}


def test_sqlite_is_known_in_the_journal_only() -> None:
    """A connection is made in one place, errors are translated beside it; the worker and the memory know neither."""
    users = {module for module in TREES if "sqlite3" in IMPORTS[module]}
    assert users == {"journal.sqlite.connection", "journal.sqlite.errors"}


def test_nothing_is_swallowed() -> None:
    """No `except Exception: pass`."""
    handlers = [(module, node) for module, node in NODES if isinstance(node, ast.ExceptHandler)]
    broad = [
        (module, node)
        for module, node in handlers
        if node.type is None or {"Exception", "BaseException"} & {name.id for name in names_in(node.type)}
    ]
    assert handlers
    assert not [(module, node.lineno) for module, node in broad if isinstance(node.body[0], ast.Pass)]


def test_nothing_outlives_its_block() -> None:
    """No task without a group that waits for it."""
    used = {(module, node.attr) for module, node in NODES if isinstance(node, ast.Attribute)}
    used |= {(module, node.id) for module, node in NODES if isinstance(node, ast.Name)}
    assert not [(module, name) for module, name in used if name in ("create_task", "ensure_future")]
