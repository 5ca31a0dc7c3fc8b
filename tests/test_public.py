"""The public API: the promised names exist and have docstrings, and the README is true."""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

import ochy_async
from ochy_async import OchySession, errors, events, observing
from ochy_async.emulator import Emulator
from tests.conftest import CLIP, world
from tests.support.accelerated_time import run_accelerated
from tests.support.public_api import MODULES as MODULES_OF_API
from tests.support.public_api import listed_api, module_api

ROOT = Path(ochy_async.__file__).parent
INIT = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
PUBLIC = [name for name in ochy_async.__all__ if name != "__version__"]
MODULES = (
    "errors",
    "events",
    "log_level",
    "protocol.headers",
    "emulator",
    "clips",
    "transport",
    "session",
    "core",
    "starting",
    "waiting",
)
NAMES_BY_MODULE = {module: tuple(names.split()) for module, names in vars(ochy_async)["_MODULES"].items()}
METHODS = [name for name in vars(OchySession) if not name.startswith("_")]


def test_the_public_names_are_few_and_sorted() -> None:
    """`__all__` has each name once, in alphabetical order, and `dir` shows the same names."""
    assert ochy_async.__all__ == sorted(set(ochy_async.__all__))
    assert len(ochy_async.__all__) <= 65
    assert dir(ochy_async) == ochy_async.__all__


@pytest.mark.parametrize("module", MODULES_OF_API)
def test_names_and_signatures_change_only_on_purpose(module: str) -> None:
    """If this fails on purpose: say it in the changelog, and run `python -m tests.support.public_api`."""
    try:
        found = list(module_api(module))
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    assert found == listed_api()[module]


@pytest.mark.parametrize("name", ochy_async.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    """Each name in `__all__` can be imported and is in `dir`."""
    assert getattr(ochy_async, name) is not None
    assert name in dir(ochy_async)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Names that are loaded on first use do not hide typing errors."""
    with pytest.raises(AttributeError, match="no attribute 'SideVeiw'"):
        ochy_async.__getattr__("SideVeiw")


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    """The imports for type checkers, the table of modules, and `__all__` list the same names."""
    (guarded,) = [node for node in INIT.body if isinstance(node, ast.If)]
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    seen = {str(node.module): tuple(name.name for name in node.names) for node in imports}
    assert seen == {**NAMES_BY_MODULE, "errors": seen["errors"]}
    assert sorted(name for names in seen.values() for name in names) == PUBLIC


def test_every_public_name_is_public_in_its_own_module() -> None:
    """Each public name is in the `__all__` of the module that defines it."""
    errors = set(PUBLIC).difference(*NAMES_BY_MODULE.values())
    for module_name, names in {**NAMES_BY_MODULE, "errors": errors}.items():
        module = importlib.import_module(f"ochy_async.{module_name}")
        assert set(names) <= set(module.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_correct_all(name: str) -> None:
    """`__all__` of a module lists each name once, and each exists."""
    module = importlib.import_module(f"ochy_async.{name}")
    assert len(module.__all__) == len(set(module.__all__))
    assert not [each for each in module.__all__ if getattr(module, each, None) is None]


def run(program: str) -> str:
    """Returns what a program prints in a fresh interpreter."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_importing_loads_no_heavy_library() -> None:
    """The command line does not load aiohttp to print its help."""
    heavy = "{'aiohttp', 'anyio', 'cattrs', 'orjson', 'asyncio', 'attrs'}"
    assert run(f"import sys, ochy_async; print(sorted({heavy} & sys.modules.keys()))") == "[]"


def test_a_session_loads_nothing_that_few_programs_use() -> None:
    """A session is made without what serves batches, downloads and landmarks; each is loaded when it is asked for."""
    rare = "{'batch.engine', 'batch.output', 'journal', 'protocol.landmarks', 'webhooks'}"
    program = f"""import sys, ochy_async
loaded = lambda: {{name for name in {rare} if 'ochy_async.' + name in sys.modules}}
session = ochy_async.OchySession('a' * 40)
before = loaded()
session.batch()
print(sorted(before), sorted(loaded()))"""
    assert run(program) == "[] ['batch.engine', 'batch.output', 'journal']"


def test_a_star_import_imports_every_public_name() -> None:
    """Names that are loaded on first use are part of a star import."""
    found = run("from ochy_async import *; print(len(set(__import__('ochy_async').__all__) - set(globals())))")
    assert found == "0"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_class_has_docstrings(name: str) -> None:
    """Each class has a docstring of its own, and so has each public method and property that it defines."""
    cls = getattr(ochy_async, name)
    if not inspect.isclass(cls):  # a union
        return
    assert cls.__dict__.get("__doc__")
    members = {key: value for key, value in vars(cls).items() if not key.startswith("_")}
    callables = [key for key, value in members.items() if inspect.isfunction(value) or isinstance(value, property)]
    assert not [key for key in callables if not inspect.getdoc(members[key])]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_session_begins_with_a_sentence(name: str) -> None:
    """The first line of each docstring is one sentence."""
    first_line = (inspect.getdoc(getattr(OchySession, name)) or "").partition("\n")[0]
    assert re.fullmatch(r"\S.*[.:]( .*)?", first_line)


def test_the_package_and_its_metadata_have_the_same_version() -> None:
    """The version is written in one place."""
    assert importlib.metadata.version("ochy-async") == ochy_async.__version__


def test_the_package_is_typed() -> None:
    """The package contains `py.typed`, so type checkers use its annotations."""
    assert (ROOT / "py.typed").is_file()


# --- the README ---------------------------------------------------------------------------------------------

PYTHON = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    """The text of a page; an installed package has none."""
    path = ROOT.parent / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


TEXT = page("README.md")
BLOCKS = PYTHON.findall(TEXT)


@pytest.fixture
def readme_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The environment that the README assumes: clips in the folder, a key in the environment, and a server."""
    (tmp_path / "runner.mp4").write_bytes(CLIP)
    (tmp_path / "clips").mkdir()
    for name in ("anna.mp4", "ben.mp4"):
        (tmp_path / "clips" / name).write_bytes(CLIP + name.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asyncio, "run", run_accelerated)
    with start_blocking_portal() as portal:
        emulator = Emulator(world(queue_seconds=0.02, analysis_seconds=(0.05, 0.1)))
        with portal.wrap_async_context_manager(emulator):
            monkeypatch.setenv("OCHY_BASE_URL", emulator.url)
            yield emulator


def test_the_first_command_installs_what_the_demo_needs() -> None:
    """The command line, and the pages that the demo ends with."""
    (command,) = re.findall(r"<!-- first command -->\n```sh\n(.*)\n```", TEXT)
    assert re.findall(r"'\.\[(.*?)\]'", command) == ["cli,report"]
    assert command.endswith("/ochy demo")


def test_the_readme_has_examples() -> None:
    """The README contains Python examples."""
    assert BLOCKS


def test_the_first_example_pays_once(readme_environment: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """The first example spends one credit and prints a score between 0 and 1."""
    exec(compile(BLOCKS[0], "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    assert len(readme_environment.service.ledger) == 1
    assert 0 <= float(capsys.readouterr().out.split()[0]) <= 1


def test_the_batch_example_pays_each_clip_once(
    readme_environment: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first example of batches spends one credit for each clip, and running it again spends nothing."""
    example, *_ = [block for block in PYTHON.findall(page("docs/how-to/batches.md")) if "ochy.batch" in block]
    for _ in range(2):
        exec(compile(example, "batches.md", "exec"), {"__name__": "__main__"})  # noqa: S102
        assert capsys.readouterr().out.count(".mp4") == 2
    assert len(readme_environment.service.ledger) == 2


PAGES = ("README.md", "docs/how-to/batches.md", "docs/how-to/services.md", "docs/reference/errors.md")
PROSE = "".join(re.sub(r"^```.*?^```", "", page(each), flags=re.MULTILINE | re.DOTALL) for each in PAGES)
HOMES = (ochy_async, errors, events, observing)
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PROSE)))
CLASSES = [each for each in QUOTED if re.fullmatch(r"(?:[A-Z][a-z]+){2,}|Clip\b.*|Event", each)]
CALLS = [each for each in QUOTED if re.match(r"(?:await )?ochy\.\w+\(", each)]


@pytest.mark.parametrize("quoted", CLASSES)
def test_every_class_that_a_page_names_can_be_imported(quoted: str) -> None:
    """It comes from `ochy_async`, or from a module of errors, events or operations."""
    name, *members = re.sub(r"\(.*", "", quoted).split(".")
    (found, *_) = [getattr(home, name) for home in HOMES if hasattr(home, name)] or [None]
    assert found is not None, f"a page names {name}, which no module of `HOMES` has"
    assert all(hasattr(found, member) for member in members)


@pytest.mark.parametrize("quoted", CALLS)
def test_every_call_that_a_page_names_exists(quoted: str) -> None:
    """`ochy.…` on a page is a method or a property of the session."""
    name = re.sub(r"^(?:await )?ochy\.|\(.*", "", quoted)
    assert hasattr(OchySession, name)
