"""The machine that something was measured on."""

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path

PROCESS, CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


def processor() -> str:
    """The processor's name."""
    name, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        names = (line for line in lines if line.startswith("model name"))
        name = next(names, f":{name}").split(":", 1)[1].strip()
    return name


def facts(*packages: str) -> dict[str, str]:
    """Processor, cores that this process may use, their load by all programs (over a minute), system,
    Python, and the versions of the packages. No name of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": processor(),
        "cores": str(cores),
        "load per core": f"{os.getloadavg()[0] / cores:.2f}",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def peak_resident_mib(whose: int = PROCESS) -> float:
    """Largest resident memory so far, of this process or of the largest child that has ended."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss: bytes on macOS, KiB on Linux
    return resource.getrusage(whose).ru_maxrss / unit
