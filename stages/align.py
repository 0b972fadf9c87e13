"""align: image and text tower together, contrastively. models/text + data -> models/clip"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402


def main(params):
    from sightline.train.align import align

    run = runtime.start(params.threads, params.seed, params.loader_workers)
    raw, vqa = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("data/vqa"), "vqa")
    text = artifacts.load(Path("models/text"), "text")
    align(params, run, raw, vqa, text, Path("models/clip"), Path("plots/align"))
    runtime.finish(run)


if __name__ == "__main__":
    with runtime.stage("align") as params:
        main(params)
