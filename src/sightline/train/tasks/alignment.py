"""Alignment of image and text: InfoNCE (or another of losses/), word-in-patch, matching with hard negatives.

B images of this process, C captions of each, P patches, T tokens, E embedding, W words, n validation pairs.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from sightline.core.params.train_params import AlignParams
from sightline.core.runtime import Runtime
from sightline.data import batches
from sightline.data.vqa_data import VqaData
from sightline.models.dual_encoder import DualEncoder
from sightline.models.transformer import checkpoint_layers
from sightline.train import distributed, sample_captions
from sightline.train.feature_cache import ImageBatch, ImageFeatureCache, TextStateCache, image_tokens
from sightline.train.image_loader import ImageLoader
from sightline.train.losses import matching, word_in_patch
from sightline.train.schedule import batch_size, num_steps, rewarmed, warmup_steps
from sightline.train.task import ComparingTask, rows_of, slices

EVAL_BATCH = 128
OURS = ("word_head", "fusion")  # the parts of a dual encoder that no pretrained one brings along
RANKED = 4096  # texts, and pictures, that are held against each other at a time


def frozen_towers(params: AlignParams) -> tuple[bool, bool]:
    """Whether the image tower and the text tower stay as they are."""
    every = params.tuning == "frozen"
    return every or params.freeze_vision, every or params.text_lr_scale == 0


def ranks(text_nE: Tensor, image_nE: Tensor, run: Runtime) -> tuple[Tensor, Tensor]:
    """Rank of each text's own picture among all pictures, and of each picture's own text, [n]; 1 is best, and
    a tie counts against the model. Blocks of RANKED x RANKED scores are dealt out to the processes, which all
    have all embeddings."""
    count, device = len(text_nE), text_nE.device
    blocks = slices(count, RANKED)
    match_n = torch.cat([(text_nE[block] @ image_nE[block].T).diagonal() for block in blocks])
    of_image_n, of_text_n = torch.zeros(2, count, dtype=torch.int64, device=device)
    for rows in blocks[run.rank :: run.world]:
        for columns in blocks:
            score_rc = text_nE[rows] @ image_nE[columns].T
            of_image_n[rows] += (score_rc >= match_n[rows, None]).sum(1)  # its own score counts
            of_text_n[columns] += (score_rc >= match_n[None, columns]).sum(0)
    return distributed.total(of_image_n, run), distributed.total(of_text_n, run)


class ContrastiveTask(ComparingTask):
    """`model` is a dual encoder; `words` are those of its word head. Items without a picture take no part;
    `skipped` is their number. Of a pretrained one trains what params.tuning says; for `lora` it comes with
    its adapters (train.lora). local_loss: each process compares its own rows alone with all."""

    model: DualEncoder
    metric, unit = "recall_at_1", "pairs"

    def __init__(
        self,
        model: DualEncoder,
        data: VqaData,
        words: list[str],
        loss: ModuleType,
        params: AlignParams,
        run: Runtime,
        seed: int,
        local_loss: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.run, self.seed = model, run, seed
        self.rank = run.rank if local_loss and run.world > 1 else None
        self.tokenizer, self.items, triples = data.tokenizer, data.items, data.triples
        self.loss, self.params, self.layer_decay = loss, params, params.layer_decay
        self.max_tokens = model.text.config["max_tokens"]
        if params.gradient_checkpointing:
            checkpoint_layers(model)
        self.pictures = ImageLoader(self.items, model.vision)
        self.starts_trained = model.pretrained is not None
        self.keeps_last_of_equals = params.tuning == "frozen"
        self.vision_frozen, self.text_frozen = frozen_towers(params)
        self.features = None
        if self.vision_frozen or model.vision.trained_blocks:
            self.features = ImageFeatureCache(self.pictures, model.vision, data.raw_digest, run.world)
        # Words that are hidden from a tower that is not divided change all of its states.
        unchanging = self.text_frozen and params.word_dropout == 0
        self.states = TextStateCache(model.text) if model.text.divided or unchanging else None
        self.train_numbers = sample_captions.usable(self.items, triples["train"].by_item())
        self.val_numbers = sample_captions.usable(self.items, triples["val"].by_item())
        self.skipped = len(sample_captions.without_picture(self.items, "train"))
        self.word_index = {word: i for i, word in enumerate(words)}
        self.per_step = batch_size(params.batch_size, len(self.train_numbers), run.world)
        self.steps = num_steps(params.epochs, len(self.train_numbers), self.per_step, params.min_steps)
        self.thaw_step = round(self.steps * params.warmup_phase_share)
        self.warmup_steps = warmup_steps(self.steps, params.warmup_ratio)
        self.ranks = np.zeros(0, dtype=np.int64)

    def load(self, step: int) -> dict:
        indices = batches.batch_indices(self.seed, step, self.per_step, len(self.train_numbers))
        numbers = batches.rank_slice(self.train_numbers[indices], self.run.rank, self.run.world)
        items = [self.items[number] for number in numbers]
        captions = [
            caption
            for item, number in zip(items, numbers, strict=True)
            for caption in self._captions(
                item, sample_captions.generator(self.seed, "caption", step, int(number))
            )
        ]
        words_BW = np.zeros((len(items), len(self.word_index)), dtype=np.float32)
        for row, item in enumerate(items):
            words_present = {
                word for text in sample_captions.captions(item) for word in sample_captions.words_of(text)
            }
            words_BW[row, [self.word_index[word] for word in words_present if word in self.word_index]] = 1.0
        return {
            "items": [item["id"] for item in items],
            "image": self._image(items, self._mirrored(step, numbers)),
            "words": torch.from_numpy(words_BW),
            **self._tokens(captions),
        }

    def parts(self, loaded: dict, rows: int) -> list[dict]:
        captions = self.params.captions_per_image
        return [
            {
                **{name: rows_of(loaded[name], part) for name in ("items", "image", "words")},
                **{
                    name: loaded[name][part.start * captions : part.stop * captions]
                    for name in ("ids", "mask")
                },
            }
            for part in slices(len(loaded["items"]), rows)
        ]

    def represent(self, batch: dict) -> dict[str, Tensor]:
        tokens_BPD = self.image_tokens(batch["image"])
        image_BE = self.model.embed_image(tokens_BPD)
        mask_BT = self._some_words(batch["mask"])
        states_BTD, text_BE = self._encode_text(batch["ids"], batch["mask"], mask_BT)
        return {
            "tokens": tokens_BPD, "image": image_BE, "mask": mask_BT, "states": states_BTD, "text": text_BE,
            "words": batch["words"],
        }  # fmt: skip

    def compare(self, rows: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        model, params = self.model, self.params
        tokens_BPD, image_BE, text_BE = rows["tokens"], rows["image"], rows["text"]
        learned = {} if model.logit_bias is None else {"bias": model.logit_bias}
        contrastive = self.loss.loss(
            image_BE, text_BE, model.logit_scale, distributed.gather, rank=self.rank, **learned
        )
        word = word_in_patch.loss(model.word_logits(tokens_BPD), rows["words"])
        count = params.matching_samples // self.run.world
        # One caption of each image takes part.
        states_BTD, text_BE, mask_BT = (
            rows[name][:: params.captions_per_image] for name in ("states", "text", "mask")
        )
        image, text, label = matching.pairs(model.logit_scale * image_BE @ text_BE.T, count)
        match = matching.loss(model.match(tokens_BPD[image], states_BTD[text], mask_BT[text]), label)
        total = contrastive + params.word_weight * word + params.matching_weight * match
        return total, {
            "contrastive": contrastive.detach(),
            "word_in_patch": word.detach(),
            "matching": match.detach(),
        }

    def phase(self, step: int) -> int:
        return int(step >= self.thaw_step)

    def enter(self, phase: int) -> None:
        towers = {self.model.vision: self.vision_frozen or phase == 0, self.model.text: self.text_frozen}
        for tower, frozen in towers.items():
            if frozen or self.params.tuning != "lora":  # whose adapters alone train
                tower.freeze(frozen)
        if self.params.tuning == "frozen":
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(name.startswith(OURS))

    def lr_scale(self, part: str, step: int) -> float:
        scale = {"text": self.params.text_lr_scale, "vision": self.params.vision_lr_scale}.get(part, 1.0)
        if part == "vision" and self.thaw_step:
            scale *= rewarmed(step, self.thaw_step, self.warmup_steps)
        return scale if part in OURS else scale * self.params.tuning_lr_scale

    def evaluate(self) -> tuple[float, dict[str, float]]:
        """Recall@1, percent, over all validation pairs (a scene's full description, a photo's first
        caption), mean of both directions; a tie counts against the model."""
        images, texts = [], []
        for numbers, real in self._shares():
            items = [self.items[number] for number in numbers]
            first = [sample_captions.captions(item)[0] for item in items]
            batch = self.place({"image": self._image(items, None), **self._tokens(first)})
            image_BE = self.model.embed_image(self.image_tokens(batch["image"]))
            _, text_BE = self._encode_text(batch["ids"], batch["mask"], batch["mask"])
            images.append(distributed.gather(image_BE.float())[:real])
            texts.append(distributed.gather(text_BE.float())[:real])
        of_image_n, of_text_n = (
            ranks_n.cpu() for ranks_n in ranks(torch.cat(texts), torch.cat(images), self.run)
        )
        self.ranks = of_image_n.numpy()
        text_to_image = 100.0 * float((self.ranks == 1).mean())
        image_to_text = 100.0 * float((of_text_n == 1).float().mean())
        values = {"text_to_image": text_to_image, "image_to_text": image_to_text}
        return (text_to_image + image_to_text) / 2, values

    def samples(self) -> list[str]:
        drawn = sample_captions.generator(self.seed, "samples").integers(len(self.val_numbers), size=2)
        return [
            f'"{self.items[self.val_numbers[i]]["captions"][0]}" finds its picture at rank {self.ranks[i]} '
            f"of {len(self.ranks)}"
            for i in drawn
        ]

    def _captions(self, item: dict, rng: np.random.Generator) -> list[str]:
        """The captions of an image: one as `sample_captions.caption` draws it, or several different ones,
        repeated where it has fewer."""
        count = self.params.captions_per_image
        if count == 1:
            return [sample_captions.caption(item, rng)]
        texts = sample_captions.captions(item)
        return [texts[i] for i in np.resize(rng.permutation(len(texts)), count)]

    def _mirrored(self, step: int, numbers: np.ndarray) -> list[bool] | None:
        return sample_captions.mirrored(self.seed, step, numbers) if self.params.horizontal_flip else None

    def _some_words(self, mask_BT: Tensor) -> Tensor:
        """The mask without a random share of the words; a text's first token, which is no word, stays."""
        if self.params.word_dropout == 0:
            return mask_BT
        kept_BT = torch.rand(mask_BT.shape, device=mask_BT.device) >= self.params.word_dropout
        kept_BT[:, 0] = True
        return mask_BT & kept_BT

    def _image(self, items: list[dict], mirrored: list[bool] | None) -> Tensor | ImageBatch:
        """What a batch holds of its pictures: pixels, or, where features are kept, whose they are."""
        return self.pictures(items, "cpu", mirrored) if self.features is None else (items, mirrored)

    def image_tokens(self, image: Tensor | ImageBatch) -> Tensor:
        """tokens_BPD of what a batch holds of its pictures."""
        return image_tokens(self.model.vision, self.features, image, self.vision_frozen, self.run.device)

    def _encode_text(self, ids_BT: Tensor, mask_BT: Tensor, some_BT: Tensor) -> tuple[Tensor, Tensor]:
        """states_BTD, and embed_BE of unit length, of some of the words; what is kept has read them all."""
        if self.states is None:
            return self.model.encode_text(ids_BT, some_BT)
        states_BTD = self.model.text.upper(self.states(ids_BT, mask_BT), ids_BT, some_BT)
        return states_BTD, self.model.embed_text(states_BTD, some_BT)

    def _tokens(self, captions: list[str]) -> dict[str, Tensor]:
        ids_BT, mask_BT = self.tokenizer.batch(captions, self.max_tokens)
        return {"ids": torch.from_numpy(ids_BT), "mask": torch.from_numpy(mask_BT)}

    def _shares(self) -> list[tuple[np.ndarray, int]]:
        """Of every validation batch: this process's items, and how many of all processes' are real. Shares
        are equal, as gathering needs; the last batch repeats its last item to make them so."""
        shares = []
        for start in range(0, len(self.val_numbers), EVAL_BATCH):
            numbers = self.val_numbers[start : start + EVAL_BATCH]
            padded = np.concatenate([numbers, np.repeat(numbers[-1:], -len(numbers) % self.run.world)])
            shares.append((batches.rank_slice(padded, self.run.rank, self.run.world), len(numbers)))
        return shares
