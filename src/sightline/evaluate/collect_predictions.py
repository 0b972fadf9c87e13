"""The predictions of every variant, each in a process of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.core import artifacts, progress
from sightline.core.params.generation import SPIN_OFF, Generation, Spin
from sightline.core.params.quality_params import EvaluateParams
from sightline.core.runtime import derive_seed
from sightline.core.shard_map import map_shards
from sightline.evaluate import predictions, split_contents
from sightline.evaluate.split_contents import Split
from sightline.inference.session import Session

Load = Callable[[], Session]
SPINS = ("off", "on")


@dataclass(frozen=True)
class Setting:
    """The data, the parameters, and the decoding of the shipped bundle (`generation`; `spin`, its gate)."""

    raw: Path
    vqa: Path
    params: EvaluateParams
    generation: Generation
    spin: Spin
    seed: int

    @property
    def served(self) -> str:
        """Which of SPINS the bundle answers with by itself: what users get, and what report and gate read."""
        return "on" if self.generation.spin else "off"

    def read(self, name: str) -> Split:
        return split_contents.read(self.raw, self.vqa, name, self.params.max_items)


@dataclass(frozen=True)
class VariantPredictions:
    """Predictions of one variant on one split: answers by SPIN setting (none where the model only searches),
    and retrieval ranks."""

    answers: dict[str, predictions.Answers]
    retrieval: predictions.RetrievalRanks


def predict(load: Load, setting: Setting, spins: Sequence[str]) -> dict[str, VariantPredictions]:
    """The predictions of one variant, by split, for the SPINS given."""
    session, words = load(), split_contents.lexicon(setting.vqa)
    kinds = sorted(artifacts.read_json(setting.vqa / "config.json")["objects"])
    gates, batch_size = {"off": SPIN_OFF, "on": setting.spin}, setting.params.batch_size
    train = split_contents.prior_pictures(setting.raw, setting.params)
    results = {}
    for name in setting.params.splits:
        split = setting.read(name)
        rng = np.random.default_rng(derive_seed(setting.seed, "swapped", name))
        answers = {
            spin: predictions.answers(session, split, setting.generation, gates[spin], batch_size)
            for spin in (spins if session.answers else ())
        }
        swaps = predictions.SwapInputs(words, kinds, rng)
        results[name] = VariantPredictions(
            answers, predictions.retrieve(session, split, swaps, setting.params, train)
        )
    return results


def _predict(shard: tuple[Load, Setting, Sequence[str]]) -> dict[str, VariantPredictions]:
    return predict(*shard)


def predict_variants(
    loaders: dict[str, Load], spins: dict[str, Sequence[str]], setting: Setting
) -> dict[str, dict[str, VariantPredictions]]:
    """`predict` for every variant, in a process of its own: variant -> split -> predictions. spins: of each
    variant, from SPINS."""
    shards = [(load, setting, spins[variant]) for variant, load in loaders.items()]
    predicted = progress.track(map_shards(_predict, shards, few=0), "predicting", len(shards))
    return dict(zip(loaders, predicted, strict=True))
