"""Describes the machine that the figures are from."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["machine", "peak_memory"]

PACKAGES = (
    *("aiohttp", "anyio", "attrs", "cattrs", "orjson", "httpx", "requests", "pydantic", "msgspec"),
    *("dataclasses-json", "openai"),
)


def machine() -> dict[str, str]:
    """Facts about the machine, by name."""
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load at the start": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "curl": _curl(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def peak_memory() -> float:
    """The largest resident memory of this process so far, in MB.

    On Linux `ru_maxrss` would be that of the process which started this one, if that is larger.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _processor() -> str:
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in facts.splitlines() if line.startswith("model name")]
    return names[0] if names else "unknown"


def _curl() -> str:
    curl = shutil.which("curl")
    if curl is None:
        return "none"
    output = subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return output.split(" ")[1]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
