"""Whether this machine multiplies matrices in bf16 fast enough to train in it."""

import re
import shutil
from pathlib import Path

FLAGS = Path("/proc/cpuinfo")  # Linux


def slow_bf16(flags: Path = FLAGS) -> bool:
    """Whether bf16 is slower than fp32 by far: on an x86 processor without AVX-512, where PyTorch has no
    kernels for it (measured: 15 times slower). False with an NVIDIA GPU and where nothing tells."""
    if shutil.which("nvidia-smi") or not flags.is_file():
        return False
    found = re.search(r"^flags\s*:(.*)$", flags.read_text(encoding="utf-8"), flags=re.M)
    return found is not None and "avx512f" not in found[1].split()
