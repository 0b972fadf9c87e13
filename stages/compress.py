"""compress: heads and neurons that matter least go, then a short recovery. models/vlm + data ->
models/compressed"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.compress.prune_and_recover import compress

    run = runtime.start(params.threads, params.seed)
    raw, vqa = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("data/vqa"), "vqa")
    vlm = artifacts.load(Path("models/vlm"), "vlm")
    with artifacts.create(Path("metrics/compress"), "metrics", {}) as metrics:
        compress(params, run, raw, vqa, vlm, Path("models/compressed"), metrics, Path("plots/compress"))
    runtime.finish(run)


if __name__ == "__main__":
    with runtime.stage("compress") as params:
        main(params)
