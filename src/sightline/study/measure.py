"""What the study reads off an arm: the trained fp32 models asked everything about `val`, never about `test`.

The only module of the study that needs torch; it runs in the arm's own copy of the project:
`python -m sightline.study.measure`.
"""

import tempfile
from pathlib import Path

import numpy as np

from sightline import artifacts
from sightline.evaluate import predict, score, splits
from sightline.export import trained
from sightline.export.run import write_settings
from sightline.params.loader import Params, load_params
from sightline.runtime import derive_seed

SPLIT = "val"
RESULT = "figures.json"


def figures(params: Params) -> dict[str, float]:
    """Percent by name: accuracy of each question type and their mean (`answers`), CHAIR, retrieval."""
    vlm, clip = trained.load_vlm(Path("models/vlm")), trained.load_clip(Path("models/clip"))
    with tempfile.TemporaryDirectory() as settings:  # those that export would write
        write_settings(Path(settings), clip, vlm, Path("models/vlm/tokenizer.json"))
        session = trained.session(vlm, clip, Path(settings))
    raw, vqa = Path("data/raw"), Path("data/vqa")
    split, words = splits.read(raw, vqa, SPLIT, params.evaluate.max_items), splits.lexicon(vqa)
    asking, reranking = predict.Asking.of(params.evaluate), predict.Reranking.of(params.evaluate)
    kinds = sorted(artifacts.read_json(vqa / "config.json")["objects"])
    rng = np.random.default_rng(derive_seed(params.seed, "swapped", SPLIT))
    said = predict.answers(session, split, predict.SPIN_OFF, asking)
    found = predict.retrieve(session, split, words, kinds, asking, reranking, rng)
    whole_1C = np.ones((1, len(split.lines)))
    groups = score.of_answers(split, said.texts, words, whole_1C) + score.of_retrieval(found, whole_1C)
    every = {
        (group.family, group.kind, metric): float(figure(group.sample.total))
        for group in groups
        for metric, figure in group.measure.FIGURES.items()
    }
    types = {
        kind: value
        for (family, kind, metric), value in every.items()
        if family == "vqa" and metric == "accuracy" and kind != "all"
    }
    values = {"answers": float(np.mean(list(types.values()))), **types}
    for (family, kind, metric), value in every.items():
        if family == "chair" and metric in ("chair_i", "recall"):
            values[metric] = value
        elif family == "retrieval" and metric in ("r1", "accuracy"):
            values[kind if metric == "accuracy" else f"{kind}_r1"] = value
    return {name: score.rounded(value) for name, value in values.items()}


if __name__ == "__main__":
    import torch

    resolved = load_params()
    torch.set_num_threads(resolved.threads)
    artifacts.write_json(Path(RESULT), figures(resolved))
