"""A process that starts cold, answers one question and prints its cost:
`python -m sightline_lab.bench.cold_start <kind> <folder> <variant>`. Kind is session (ONNX, no torch) or
torch; the folder is a bundle for session with the variant "shipped", else models/onnx, models for torch."""

import json
import sys
import time

START = time.perf_counter()


def peak_bytes() -> int:
    """Largest resident memory of this process alone; `ru_maxrss` would include the parent's."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def main(kind: str, folder: str, variant: str) -> dict[str, float]:
    from pathlib import Path

    import numpy as np

    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    if kind == "session":
        from sightline.inference.bundle_settings import greedy_generation
        from sightline.inference.session import Session

        imported = time.perf_counter()
        path = Path(folder)
        session = Session.load(path) if variant == "shipped" else Session.open(path, variant)
    else:
        from sightline.inference import torch_session
        from sightline.inference.bundle_settings import greedy_generation

        imported = time.perf_counter()
        models = Path(folder)
        vlm, clip = torch_session.load_vlm(models / "vlm"), torch_session.load_clip(models / "clip")
        session = torch_session.session(vlm, clip, models / "onnx")
    loaded = time.perf_counter()
    session.answer([picture], ["Is there a red ball?"], greedy_generation(4))
    done = time.perf_counter()
    return {
        "import_s": imported - START, "load_s": loaded - imported, "answer_s": done - loaded,
        "total_s": done - START, "peak_bytes": peak_bytes(),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
