"""When, where and with what a card was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


def surroundings() -> dict[str, Any]:
    """Return when, where and with what this run measured."""
    packages = ("worldlet", "numpy", "onnxruntime", "torch", "gymnasium", "pillow", "av")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": _commit(),
        "hardware": {"cpu": _processor(), "cores": _cores(), "system": platform.system()},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def _commit() -> str:
    """Return the commit of the checkout that this code runs from, ``""`` where it is installed without one."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "log", "-1", "--format=%H"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _cores() -> int:
    """Return the cores that this process may use, where the system tells; else those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
