"""Runs the stages of CI that follow the README's test command: `.venv/bin/python .ci/stages.py SECONDS`.

That command has created `.venv` and took SECONDS. The supported Pythons come from the classifiers in
`pyproject.toml`, and the versions of the dependencies from its bounds. This file names no path of a machine and no
host of a registry. All environments are created anew in `.venvs/`, which git ignores.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
BIN, EXE = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SUPPORTED = re.findall(r"Python :: (3\.\d+)'", str(PROJECT["classifiers"]))
DECODER_TESTS = ("tests/preflight/test_prober.py", "tests/emulator/test_video_rendering.py")
WITHOUT_MUTATIONS = ("--deselect", "tests/robustness/test_mutations.py")
"""Whether the tests find planted faults does not depend on the versions of the dependencies. The README's command has
tested it once, and it takes minutes."""
PACKAGE_DATA = "ochy_async/preflight/proof.mp4"

times: list[tuple[str, float]] = []


def main() -> None:
    """Runs every stage; the first failure ends CI."""
    times.append(("the README's test command", float(sys.argv[1])))
    found = pythons()
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    tested = {own: "by the README's command", **{each: "below" for each in found if each != own}}
    for version in dict.fromkeys((*SUPPORTED, *tested)):
        print(f"Python {version}: {f'tested {tested[version]}' if version in tested else 'not found, not tested'}")
    for version, python in found.items():
        if version != own:
            with stage(f"the full suite on {version}, newest dependencies"):
                pytest(make_venv(version, python, "--editable", ".[all,dev]"), *WITHOUT_MUTATIONS)
    lowest = min(found, key=SUPPORTED.index, default="")
    python = found.get(lowest, sys.executable)
    with stage(f"the core on {lowest or own}, lowest dependencies"):
        core = make_venv("lowest", python, "--resolution", "lowest-direct", "--editable", ".[test]")
        pytest(core, *WITHOUT_MUTATIONS)
    with stage(f"the command line on {lowest or own}, lowest dependencies"):
        extras = make_venv(
            "lowest-all", python, "--resolution", "lowest-direct", "--editable", ".[all,test]", "numpy>=2"
        )
        pytest(extras, *sorted(str(each.relative_to(ROOT)) for each in ROOT.glob("tests/cli/test_*.py")))
    for major in range(first_pyav(), newest_pyav() + 1):
        with stage(f"PyAV {major}"):
            test_pyav(major, [extras, *(VENVS / each for each in reversed(found) if (VENVS / each).exists())])
    with stage("wheel and source distribution"):
        check_distributions()
    with stage("lint and types"):
        for command in ("ruff check .", "ruff format --check .", "mypy", f"pyright --pythonpath {tool('python')}"):
            name, *arguments = command.split()
            run(tool(name), *arguments)
    for name, seconds in times:
        print(f"{seconds:7.0f} s  {name}")
    print(f"{sum(seconds for _, seconds in times):7.0f} s  total")


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """Prints the name of a stage and records how long it took."""
    print(f"\n=== {name}", flush=True)
    start = time.monotonic()
    yield
    times.append((name, time.monotonic() - start))


def run(*command: str, **variables: str) -> None:
    """Runs a command with additional environment variables, and ends CI if it fails."""
    print(f"+ {shlex.join(command)}", flush=True)
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode
    if code:
        sys.exit(f"exit code {code}: {shlex.join(command)}")


def output_of(*command: str) -> str:
    """Returns what a command prints, or an empty text if it cannot be run or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def tool(name: str, venv: Path = ROOT / ".venv") -> str:
    """Returns the path of a program in a virtual environment."""
    return str(venv / BIN / f"{name}{EXE}")


# --- Pythons ----------------------------------------------------------------------------------------


def pythons() -> dict[str, str]:
    """Returns the supported interpreters that work on this machine, by version."""
    found = {
        version: next(filter(None, (interpreter(version, each) for each in candidates(version))), "")
        for version in SUPPORTED
    }
    return {version: python for version, python in found.items() if python}


def interpreter(version: str, candidate: str) -> str:
    """Returns the interpreter behind a candidate, or an empty text: a shim may refuse the version or start another."""
    program = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    found, _, python = output_of(candidate, "-c", program).partition(" ")
    return python if found == version else ""


def candidates(version: str) -> Iterator[str]:
    """Yields interpreters from `PATH`, from pyenv, and from uv."""
    for folder in os.get_exec_path():
        if path := shutil.which(f"python{version}", path=folder):
            yield path
    roots = {os.environ.get("PYENV_ROOT"), output_of("pyenv", "root"), str(Path.home() / ".pyenv")} - {None, ""}
    for root in sorted(map(str, roots)):
        yield from map(str, sorted(Path(root).glob(f"versions/{version}.*/{BIN}/python{EXE}"), reverse=True))
    if path := output_of(uv(), "python", "find", "--no-python-downloads", version):
        yield path


# --- packages ---------------------------------------------------------------------------------------


@functools.cache
def uv() -> str:
    """Returns the path of uv, which is installed if the machine has none."""
    if path := shutil.which("uv"):
        return path
    venv = VENVS / "uv"
    run(sys.executable, "-m", "venv", "--clear", str(venv))
    run(tool("pip", venv), "install", "--quiet", "uv")
    return tool("uv", venv)


@functools.cache
def uv_variables() -> dict[str, str]:
    """Translates pip's configuration of package indexes for uv, which does not read it."""
    configuration = dict(
        line.split("=", 1) for line in output_of(tool("python"), "-m", "pip", "config", "list").splitlines()
    )
    settings = {key.rpartition(".")[2].replace("_", "-"): value.strip("'\"") for key, value in configuration.items()}
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
    variables = {
        variable: " ".join(filter(index_exists, settings[name].replace("\\n", " ").split()))
        for name, variable in names.items()
        if name in settings
    }
    if variables.get("UV_INDEX"):
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # like pip, take the best version of all indexes
    if "cert" in settings:
        variables["SSL_CERT_FILE"] = settings["cert"]
    if "UV_FIND_LINKS" in variables:
        variables["UV_FIND_LINKS"] = variables["UV_FIND_LINKS"].replace(" ", ",")
    return {name: value for name, value in variables.items() if value and name not in os.environ}


def index_exists(index: str) -> bool:
    """Whether an index can be used: pip skips folders that do not exist, but uv fails."""
    parts = urlsplit(index)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path)).exists()
    return bool(parts.scheme) or Path(index).exists()


def make_venv(name: str, python: str, *packages: str) -> Path:
    """Creates a virtual environment with packages."""
    venv = VENVS / name
    run(uv(), "venv", "--quiet", "--clear", "--python", python, str(venv))
    install(venv, *packages)
    return venv


def install(venv: Path, *packages: str) -> None:
    """Installs packages. PyAV is installed only as a wheel, since CI does not build it."""
    run(uv(), "pip", "install", "--quiet", "--python", tool("python", venv), *ONLY_WHEELS, *packages, **uv_variables())


def try_install(venv: Path, package: str) -> bool:
    """Installs a package, and returns whether there is one for this Python."""
    command = (uv(), "pip", "install", "--quiet", "--python", tool("python", venv), *ONLY_WHEELS, package)
    env = {**os.environ, **uv_variables()}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False).returncode == 0


ONLY_WHEELS = ("--only-binary", "av")


def pytest(venv: Path, *arguments: str) -> None:
    """Runs the test suite, or a part of it."""
    run(tool("python", venv), "-m", "pytest", *arguments)


# --- PyAV -------------------------------------------------------------------------------------------


def first_pyav() -> int:
    """Returns the lowest supported major version."""
    (needed,) = PROJECT["optional-dependencies"]["video"]
    return int(re.findall(r"\d+", needed)[0])


def newest_pyav() -> int:
    """Returns the highest major version that an environment has."""
    pythons = [tool("python"), *(tool("python", VENVS / each) for each in SUPPORTED)]
    script = "from importlib.metadata import version; print(version('av').split('.')[0])"
    return max(int(output_of(each, "-c", script) or first_pyav()) for each in pythons)


def test_pyav(major: int, venvs: list[Path]) -> None:
    """Tests probing and video rendering, in the first environment for whose Python this PyAV exists."""
    for venv in venvs:
        if try_install(venv, f"av=={major}.*"):
            pytest(venv, *DECODER_TESTS)
            return
    print(f"PyAV {major}: not available for these Pythons, not tested")


# --- distributions ---------------------------------------------------------------------------------


def check_distributions() -> None:
    """Checks that the wheel and the source distribution contain the package's data files."""
    out = VENVS / "dist"
    shutil.rmtree(out, ignore_errors=True)
    run(uv(), "build", "--quiet", "--out-dir", str(out), **uv_variables())
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as one, tarfile.open(source) as other:
        both = {*one.namelist()} & {each.partition("/")[2] for each in other.getnames()}
    if missing := {PACKAGE_DATA, "ochy_async/py.typed"} - both:
        sys.exit(f"missing from a distribution: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
