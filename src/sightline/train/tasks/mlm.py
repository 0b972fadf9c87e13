"""Masked-language pretraining of the text tower on captions, questions and answers.

One text per training item and epoch: half of the time a caption, else a question in its template with its
answer, so that the tower has met the template that it will read. B texts, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sightline.core.params.train_params import PretrainParams
from sightline.core.runtime import Runtime, derive_seed
from sightline.data import batches
from sightline.data.questions.prompt_template import prompt
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.data.tokenizer import Tokenizer
from sightline.models.tower import TextTower
from sightline.train import distributed, sample_captions
from sightline.train.losses import masked_tokens
from sightline.train.schedule import batch_size, num_steps
from sightline.train.task import Task, slices

CAPTION_SHARE = 0.5
VAL_TEXTS = 512
EVAL_BATCH = 64


class MlmTask(Task):
    """`model` is a text tower with a masked-language head. Items without a picture take part with their
    captions."""

    model: TextTower
    metric, unit = "token_accuracy", "texts"

    def __init__(
        self,
        model: TextTower,
        tokenizer: Tokenizer,
        items: Items,
        triples: dict[str, Triples],
        params: PretrainParams,
        run: Runtime,
        seed: int,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.items, self.triples, self.run = model, tokenizer, items, triples, run
        self.seed, self.share = seed, params.mlm_probability
        self.lines = {split: triples[split].by_item() for split in ("train", "val")}
        self.numbers = {
            split: np.concatenate(
                [sample_captions.usable(items, lines), sample_captions.without_picture(items, split)]
            )
            for split, lines in self.lines.items()
        }
        self.per_step = batch_size(params.batch_size, len(self.numbers["train"]), run.world)
        self.steps = num_steps(params.epochs, len(self.numbers["train"]), self.per_step, params.min_steps)
        if self.steps and tokenizer.mask is None:
            raise ValueError(
                f"pretrain.epochs is {params.epochs}, but this text tower's tokenizer has no mask token, so "
                "no word can be masked: set pretrain.epochs to 0; the tower still trains in the stage align"
            )

    def load(self, step: int) -> dict:
        numbers = batches.batch_indices(self.seed, step, self.per_step, len(self.numbers["train"]))
        chosen = batches.rank_slice(np.arange(self.per_step), self.run.rank, self.run.world)
        texts = self._texts("train", self.numbers["train"][numbers], step)
        # Masked as one batch, so that every number of processes sees the same masks.
        inputs_BT, targets_BT, mask_BT = self._masked(texts, derive_seed(self.seed, "mask", step))
        return {
            "items": [self.items[self.numbers["train"][numbers[i]]]["id"] for i in chosen],
            "inputs": inputs_BT[chosen],
            "targets": targets_BT[chosen],
            "mask": mask_BT[chosen],
        }

    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        logits_BTV = self._logits(batch)
        # A process with fewer masked tokens counts less: the mean over processes is the mean over all tokens.
        count = (batch["targets"] != masked_tokens.IGNORED).sum()
        mean_count = distributed.mean_over_ranks([float(batch.get("of_tokens", count))], self.run)[0]
        return masked_tokens.loss(logits_BTV, batch["targets"]) * count / max(mean_count, 1.0), {}

    def parts(self, loaded: dict, rows: int) -> list[dict]:
        tokens = int((loaded["targets"] != masked_tokens.IGNORED).sum())
        return [
            {**{name: value[part] for name, value in loaded.items()}, "of_tokens": tokens}
            for part in slices(len(loaded["items"]), rows)
        ]

    def documents(self) -> Iterator[list[int]]:
        """Token ids of every training caption."""
        limit = self.model.config["max_tokens"]
        for number in self.numbers["train"]:
            for caption in sample_captions.captions(self.items[number]):
                yield self.tokenizer.encode(caption, limit)

    def evaluate(self) -> tuple[float, dict[str, float]]:
        numbers = self.numbers["val"][:VAL_TEXTS]
        right, total = 0, 0
        for start in range(self.run.rank * EVAL_BATCH, len(numbers), self.run.world * EVAL_BATCH):
            texts = self._texts("val", numbers[start : start + EVAL_BATCH], start)
            inputs_BT, targets_BT, mask_BT = self._masked(texts, derive_seed(self.seed, "val mask", start))
            batch = self.place({"inputs": inputs_BT, "targets": targets_BT, "mask": mask_BT})
            logits_BTV, targets_BT = self._logits(batch), batch["targets"]
            predicted_BT = targets_BT != masked_tokens.IGNORED
            right += int((logits_BTV.argmax(-1) == targets_BT)[predicted_BT].sum())
            total += int(predicted_BT.sum())
        right_sum, total_sum = distributed.sum_over_ranks([right, total], self.run)
        return 100.0 * right_sum / max(total_sum, 1), {}

    def _logits(self, batch: dict) -> Tensor:
        return self.model.mlm_logits(self.model(batch["inputs"], batch["mask"]))

    def _texts(self, split: str, numbers: np.ndarray, step: int) -> list[str]:
        rng = sample_captions.generator(self.seed, "texts", split, step)
        return [self._text(split, int(number), rng) for number in numbers]

    def _text(self, split: str, number: int, rng: np.random.Generator) -> str:
        lines = self.lines[split].get(number, [])
        if not lines or rng.random() < CAPTION_SHARE:
            return sample_captions.caption(self.items[number], rng)
        triple = self.triples[split][lines[rng.integers(len(lines))]]
        return f"{prompt(triple['question'])} {triple['answer']}"

    def _masked(self, texts: list[str], seed: int) -> tuple[Tensor, Tensor, Tensor]:
        ids_BT, mask_BT = (
            torch.from_numpy(array) for array in self.tokenizer.batch(texts, self.model.config["max_tokens"])
        )
        generator = torch.Generator().manual_seed(seed)
        assert self.tokenizer.mask is not None  # checked before the first step
        inputs_BT, targets_BT = masked_tokens.mask_tokens(
            ids_BT,
            mask_BT,
            self.share,
            self.tokenizer.mask,
            self.tokenizer.size,
            sorted(self.tokenizer.special_ids),
            generator,
        )
        return inputs_BT, targets_BT, mask_BT
