"""pretrain: the text tower alone, by masked-language modelling. data -> models/text"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402


def main(params):
    from sightline.train.pretrain import pretrain

    run = runtime.start(params.threads, params.seed, params.loader_workers)
    raw, vqa = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("data/vqa"), "vqa")
    pretrain(params, run, raw, vqa, Path("models/text"), Path("plots/pretrain"))
    runtime.finish(run)


if __name__ == "__main__":
    with runtime.stage("pretrain") as params:
        main(params)
