"""convert: question-answer triples and the tokenizer, without leaks between splits. data/raw -> data/vqa"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402
from sightline.data.questions import split_coverage  # noqa: E402
from sightline.data.questions.convert_captions import convert  # noqa: E402


def main(params: Params) -> None:
    raw = artifacts.load(Path("data/raw"), "raw")
    config: dict = {}
    with artifacts.create(Path("data/vqa"), "vqa", config) as folder:
        config.update(
            convert(raw, folder, params.convert, params.seed, params.data.max_pixels, params.trains_tokenizer)
        )
        split_coverage.check(config["counts"])
    counts = ", ".join(f"{name} {n}" for name, n in sorted(config["types"].items()))
    leaks = ", ".join(f"{reason} {n}" for reason, n in sorted(config["rejected"].items()))
    kept = f"; near-duplicates kept: {config['kept_copies']}" if config["kept_copies"] else ""
    runtime.log(f"triples: {counts}; items left out: {leaks or 'none'}{kept}, see data/vqa/rejected.jsonl")
    for sentence in config["left_out"]:
        runtime.log(f"left out: {sentence}")


if __name__ == "__main__":
    with runtime.stage("convert") as params:
        main(params)
