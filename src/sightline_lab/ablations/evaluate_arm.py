"""Figures of an arm: its trained fp32 models evaluated on `val`, never on `test`.

The only module of the study that needs torch; it runs in the arm's workspace:
`python -m sightline_lab.ablations.evaluate_arm`.
"""

import tempfile
from pathlib import Path

import numpy as np

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF
from sightline.core.params.loader import Params, load_params
from sightline.core.runtime import derive_seed
from sightline.evaluate import predictions, scoring, split_contents
from sightline.export.export_variants import write_settings
from sightline.inference import torch_session

SPLIT = "val"
RESULT = "figures.json"


def figures(params: Params) -> dict[str, float]:
    """Percent by name: accuracy of each question type and their mean (`answers`), CHAIR, retrieval."""
    vlm, clip = torch_session.load_vlm(Path("models/vlm")), torch_session.load_clip(Path("models/clip"))
    with tempfile.TemporaryDirectory() as settings:  # those that export would write
        tokenizer, of_decoder = Path("models/clip/tokenizer.json"), Path("models/vlm/tokenizer.json")
        write_settings(Path(settings), clip, vlm, tokenizer, of_decoder)
        session = torch_session.session(vlm, clip, Path(settings))
    raw, vqa = Path("data/raw"), Path("data/vqa")
    split, words = (
        split_contents.read(raw, vqa, SPLIT, params.evaluate.max_items),
        split_contents.lexicon(vqa),
    )
    kinds = sorted(artifacts.read_json(vqa / "config.json")["objects"])
    rng = np.random.default_rng(derive_seed(params.seed, "swapped", SPLIT))
    answers = predictions.answers(session, split, params.generation, SPIN_OFF, params.evaluate.batch_size)
    swaps, train = (
        predictions.SwapInputs(words, kinds, rng),
        split_contents.prior_pictures(raw, params.evaluate),
    )
    retrieved = predictions.retrieve(session, split, swaps, params.evaluate, train)
    whole_1C = np.ones((1, len(split.lines)))
    groups = scoring.answer_groups(split, answers.texts, words, whole_1C) + scoring.retrieval_groups(
        retrieved, whole_1C
    )
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
    return {name: scoring.rounded(value) for name, value in values.items()}


if __name__ == "__main__":
    import torch

    resolved = load_params()
    torch.set_num_threads(resolved.threads)
    artifacts.write_json(Path(RESULT), figures(resolved))
