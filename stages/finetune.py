"""finetune: the answering model and its blind baseline. models/clip + data -> models/vlm, models/blind"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402


def main(params):
    from sightline.train.finetune import finetune

    run = runtime.start(params.threads, params.seed, params.loader_workers)
    raw, vqa = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("data/vqa"), "vqa")
    clip = artifacts.load(Path("models/clip"), "clip")
    finetune(params, run, raw, vqa, clip, Path("models/vlm"), Path("models/blind"), Path("plots/finetune"))
    runtime.finish(run)


if __name__ == "__main__":
    with runtime.stage("finetune") as params:
        main(params)
