"""Answering: the decoder learns short answers and a description of each picture, by cross entropy over
their tokens.

Short answers and descriptions are decoded in two groups, so that the many short ones pay for their few
tokens only. N images and B rows (questions) of this process, T tokens, M memory tokens, W width of the text
tower, K tokens that the model scores.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sightline.core.params.train_params import FinetuneParams
from sightline.core.runtime import Runtime
from sightline.data import batches
from sightline.data.questions.deciding_figure import (
    ACCURACY,
    ENOUGH,
    ENOUGH_OF_A_TYPE,
    TOKEN_LIKELIHOOD,
    deciding_figure,
)
from sightline.data.questions.prompt_template import prompt
from sightline.data.vqa_data import VqaData
from sightline.models.tower import TextTower
from sightline.models.transformer import checkpoint_layers
from sightline.models.vlm import VLM, Memory, StepOutput
from sightline.train import distributed, sample_captions
from sightline.train.feature_cache import ImageFeatureCache, image_tokens
from sightline.train.image_loader import ImageLoader
from sightline.train.schedule import batch_size, num_steps, rewarmed, warmup_steps
from sightline.train.task import Task, rows_of, slices

VAL_IMAGES = 500
EVAL_BATCH = 50
CACHED_TEXTS = 8192  # token ids of questions and short answers, which repeat
CACHE_BYTES = 64 * 2**20  # of the text tower's states of distinct questions
PART = 32  # descriptions that are decoded at once, of about one length: less of them is padding
SAMPLES = 2  # answers printed at every evaluation
IGNORED = -100  # target of padding


class VqaTask(Task):
    """`model` is a VLM; a blind one reads no picture. Two phases: image tower, and a pretrained language
    model, frozen for the first `warmup_phase_share` of the steps, then training at `vision_lr_scale` and
    `decoder_lr_scale`. The text tower stays frozen.

    `metric` is what the validation questions can decide by (`deciding_figure`); `asked`: how many short ones
    of each type they are."""

    model: VLM
    unit = "images"

    def __init__(
        self,
        model: VLM,
        data: VqaData,
        params: FinetuneParams,
        run: Runtime,
        seed: int,
        epochs: float,
    ) -> None:
        super().__init__()
        self.model, self.run = model, run
        self.tokenizer, self.items, self.triples = data.tokenizer, data.items, data.triples
        self.params, self.seed, self.layer_decay = params, seed, params.layer_decay
        self.blind = model.config["blind"]
        if params.gradient_checkpointing:
            checkpoint_layers(model)
        self.pictures = None if self.blind else ImageLoader(data.items, model.vision)
        self.features = None
        if self.pictures is not None and (params.freeze_vision or model.vision.trained_blocks):
            self.features = ImageFeatureCache(self.pictures, model.vision, data.raw_digest, run.world)
        self.lines = {split: data.triples[split].by_item() for split in ("train", "val")}
        self.numbers = {
            split: sample_captions.usable(data.items, lines) for split, lines in self.lines.items()
        }
        self.per_step = batch_size(params.batch_size, len(self.numbers["train"]), run.world)
        share = epochs / params.epochs if params.epochs else 0.0  # of the blind baseline, of a recovery
        least = math.ceil(share * params.min_steps)
        self.steps = num_steps(epochs, len(self.numbers["train"]), self.per_step, least)
        self.thaw_step = round(self.steps * params.warmup_phase_share)
        self.warmup_steps = warmup_steps(self.steps, params.warmup_ratio)
        self.states: OrderedDict[str, Tensor] = OrderedDict()
        self.encode_question = lru_cache(maxsize=CACHED_TEXTS)(data.tokenizer.encode)
        self.encode_short = lru_cache(maxsize=CACHED_TEXTS)(data.tokenizer.encode_answer)
        self.sample_lines: list[str] = []
        self.asked = self._asked()
        self.metric = deciding_figure(self.asked.total())

    def load(self, step: int) -> dict:
        indices = batches.batch_indices(self.seed, step, self.per_step, len(self.numbers["train"]))
        numbers = batches.rank_slice(self.numbers["train"][indices], self.run.rank, self.run.world)
        drawn = [
            sample_captions.questions(
                self.triples["train"],
                self.lines["train"][int(number)],
                self.drawn_per_image(),
                self.params.auxiliary,
                sample_captions.generator(self.seed, "questions", step, int(number)),
            )
            for number in numbers
        ]
        mirrored = sample_captions.mirrored(self.seed, step, numbers) if self.params.horizontal_flip else None
        return self._inputs(numbers, drawn, mirrored)

    def place(self, loaded: dict) -> dict:
        """With the states of each group's questions."""
        placed = super().place(loaded)
        for group in filter(None, (placed["short"], placed["long"])):
            group["states"] = self._states(group["questions"])
        return placed

    def drawn_per_image(self) -> tuple[int, int]:
        """Short questions and descriptions of each image in a step."""
        return self.params.questions_per_image, self.params.captions_per_image

    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross entropy per token of the short answers, params.short_answer_weight times, plus that
        of the descriptions, in nats."""
        tokens_NPD = self.image_tokens(batch)
        sums, counts = [], []
        for group in ("short", "long"):
            loss, count = tokens_NPD.new_zeros(()), 0
            if batch[group]:
                loss = self.group_loss(tokens_NPD, batch[group])
                count = int((batch[group]["targets"] != IGNORED).sum())
            sums.append(loss)
            counts.append(float(count))
        # Divided by the processes' mean count, so that the mean of their losses is the mean over all tokens.
        counts = distributed.mean_over_ranks(batch.get("of_tokens", counts), self.run)
        short, long = (loss / max(count, 1.0) for loss, count in zip(sums, counts, strict=True))
        loss = self.params.short_answer_weight * short + long
        return loss, {"short_answers": short.detach(), "descriptions": long.detach()}

    def parts(self, loaded: dict, rows: int) -> list[dict]:
        groups = loaded["short"], loaded["long"]
        of_tokens = [float((group["targets"] != IGNORED).sum()) if group else 0.0 for group in groups]
        return [
            {
                **{name: rows_of(loaded[name], part) for name in ("items", "numbers", "image")},
                **{name: _group_of(loaded[name], part) for name in ("short", "long")},
                "of_tokens": of_tokens,
            }
            for part in slices(len(loaded["items"]), rows)
        ]

    def group_loss(self, tokens_NPD: Tensor, group: dict) -> Tensor:
        """The loss of a group's answers, summed over their tokens."""
        parts = self.predictions(tokens_NPD, group, [self.model])
        return torch.stack([self.summed_loss(logits_BTK, part) for part, (logits_BTK,) in parts]).sum()

    def summed_loss(self, logits_BTK: Tensor, part: dict) -> Tensor:
        """Cross entropy of answers, summed over their tokens."""
        real_BT = part["targets"] != IGNORED
        return cross_entropy(
            logits_BTK[real_BT].float(),
            self.model.scores_of(part["targets"][real_BT]),
            reduction="sum",
            label_smoothing=self.params.label_smoothing if self.training and part["long"] else 0.0,
        )

    def phase(self, step: int) -> int:
        return int(step >= self.thaw_step)

    def enter(self, phase: int) -> None:
        self.model.enter(phase, self.params.freeze_vision)

    def lr_scale(self, part: str, step: int) -> float:
        """What thaws warms up anew: its moments start from nothing there."""
        scales = {"vision": self.params.vision_lr_scale, "language_model": self.params.decoder_lr_scale}
        if part not in scales:
            return 1.0
        return scales[part] * rewarmed(step, self.thaw_step, self.warmup_steps)

    def evaluate(self) -> tuple[float, dict[str, float]]:
        """The deciding figure, percent; and what `answer_accuracy` gives.

        The accuracy is the mean over the types with ENOUGH_OF_A_TYPE questions; the likelihood is the
        geometric mean over all tokens of all answers."""
        accuracy, (log_likelihood, tokens) = self.answer_accuracy()
        if self.metric == TOKEN_LIKELIHOOD:
            return 100.0 * math.exp(log_likelihood / tokens), accuracy
        judged = [kind for kind, count in self.asked.items() if count >= ENOUGH_OF_A_TYPE]
        return float(np.mean([accuracy[kind] for kind in judged])), accuracy

    def answer_accuracy(self) -> tuple[dict[str, float], tuple[float, float]]:
        """On val, percent: by type how many short answers are right in every token (each predicted from the
        true ones before it), and the descriptions' token accuracy. Where the likelihood decides, its
        logarithm summed over tokens, and their number."""
        right: dict[str, float] = defaultdict(float)
        total: dict[str, float] = defaultdict(float)
        numbers = self.numbers["val"][:VAL_IMAGES]
        self.sample_lines = []
        for start in range(self.run.rank * EVAL_BATCH, len(numbers), self.run.world * EVAL_BATCH):
            chunk = numbers[start : start + EVAL_BATCH]
            drawn = [
                sample_captions.questions(
                    self.triples["val"],
                    self.lines["val"][int(number)],
                    (self.params.questions_per_image, 1),
                    False,
                    sample_captions.generator(self.seed, "val questions", int(number)),
                )
                for number in chunk
            ]
            self._score(self.place(self._inputs(chunk, drawn)), right, total)
        types = ("describe", *self.asked, TOKEN_LIKELIHOOD)
        sums = distributed.sum_over_ranks(
            [value for name in types for value in (right[name], total[name])], self.run
        )
        *counted, log_likelihood, tokens = sums
        accuracy = {
            name: 100.0 * counted[2 * i] / counted[2 * i + 1]
            for i, name in enumerate(types[:-1])
            if counted[2 * i + 1]
        }
        return accuracy, (log_likelihood, tokens)

    def deciding(self) -> str:
        """What checkpoints are chosen by, in words."""
        pictures, count = len(self.numbers["val"][:VAL_IMAGES]), self.asked.total()
        if self.metric == ACCURACY:
            return f"the accuracy of {count} short answers about {pictures} pictures of val"
        return (
            f"how likely the true answers about {pictures} pictures of val are: {count} short questions are "
            f"too few to tell, {ENOUGH} are enough"
        )

    def _asked(self) -> Counter[str]:
        """How many short questions of each type an evaluation asks; the types of our own rules first."""
        asked: Counter[str] = Counter()
        for number in self.numbers["val"][:VAL_IMAGES]:
            rng = sample_captions.generator(self.seed, "val questions", int(number))
            lines, counts = self.lines["val"][int(number)], (self.params.questions_per_image, 0)
            drawn, _ = sample_captions.questions(self.triples["val"], lines, counts, False, rng)
            asked.update({triple["question"]: triple["type"] for triple in drawn}.values())
        types = [*sample_captions.OWN, *sorted(asked.keys() - set(sample_captions.OWN))]
        return Counter({kind: asked[kind] for kind in types if kind in asked})

    def samples(self) -> list[str]:
        return self.sample_lines

    def image_tokens(self, batch: dict) -> Tensor:
        """The image tower's patches of a batch's pictures, [N, P, D]."""
        if self.features is None:
            return self.model.image_tokens(batch["image"])
        vision, constant = self.model.vision, self.params.freeze_vision
        return vision.patches(image_tokens(vision, self.features, batch["image"], constant, self.run.device))

    def decode(self, tokens_NPD: Tensor, group: dict, need_maps: bool = False) -> tuple[Memory, StepOutput]:
        """What the model reads, and predicts at every token of a group's answers."""
        memory = self.read(tokens_NPD, group, self.model)
        if group["repeats"] > 1:
            memory = memory.repeated(group["repeats"])
        return memory, self.model.step(group["inputs"], None, memory, None, need_maps)

    def predictions(
        self, tokens_NPD: Tensor, group: dict, models: Sequence[VLM]
    ) -> Iterator[tuple[dict, list[Tensor]]]:
        """Parts of a group, rows whose answers are of about one length, and the logits_BTK of each model at
        their tokens."""
        memories = [self.read(tokens_NPD, group, model) for model in models]
        length_B = (group["targets"] != IGNORED).sum(1)
        parts = math.ceil(len(length_B) / PART) if group["long"] else 1
        for rows in length_B.argsort(stable=True).tensor_split(parts):
            part = {"inputs": group["inputs"], "targets": group["targets"], "long": group["long"]}
            seen = memories
            if parts > 1 or group["repeats"] > 1:
                longest = int(length_B[rows].max())
                part |= {name: part[name][rows, :longest] for name in ("inputs", "targets")}
                seen = [memory.take(rows // group["repeats"]) for memory in memories]
            logits = []
            for model, memory in zip(models, seen, strict=True):
                with self._learning(model):
                    logits.append(model.step(part["inputs"], None, memory).logits)
            yield part, logits

    def read(self, tokens_NPD: Tensor, group: dict, model: VLM) -> Memory:
        """The memory of a group's questions, each once."""
        if len(group["images"]) < len(tokens_NPD):
            tokens_NPD = tokens_NPD.index_select(0, group["images"])
        with self._learning(model):
            return model.memory(tokens_NPD, group["states"], group["ids"], group["mask"])

    def _learning(self, model: VLM) -> AbstractContextManager:
        """Gradients for the model in training alone."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and model is self.model)

    def _inputs(
        self,
        numbers: np.ndarray,
        drawn: list[tuple[list[dict], list[dict]]],
        mirrored: list[bool] | None = None,
    ) -> dict:
        items = [self.items[number] for number in numbers]
        # A blind model's constants need to know only how many pictures there are.
        image = torch.zeros(len(items)) if self.pictures is None else (items, mirrored)
        if self.pictures is not None and self.features is None:
            image = self.pictures(items, "cpu", mirrored)
        short = [(row, triple) for row, (triples, _) in enumerate(drawn) for triple in triples]
        long = [(row, triple) for row, (_, triples) in enumerate(drawn) for triple in triples]
        return {
            "items": [item["id"] for item in items],
            "numbers": [int(number) for number in numbers],
            "image": image,
            "short": self._group(short),
            "long": self._group(long),
        }

    def _group(self, rows: list[tuple[int, dict]]) -> dict | None:
        """Padded tensors of questions that are decoded together; None if there are none. Every image of the
        group has the same number of them. Where that is always the same question, it is there once an image,
        and `repeats` says how many answers it has."""
        if not rows:
            return None
        questions = [prompt(triple["question"]) for _, triple in rows]
        long = rows[0][1]["type"] == "describe"
        images = np.unique([row for row, _ in rows])
        repeats = len(rows) // len(images) if len(set(questions)) == 1 else 1
        questions = questions[::repeats]
        encode_answer = self.tokenizer.encode_answer if long else self.encode_short
        ids_BT, mask_BT = self._padded(
            [self.encode_question(text, self.params.max_question) for text in questions]
        )
        answers_BT, real_BT = self._padded(
            [encode_answer(triple["answer"], self.params.max_answer) for _, triple in rows]
        )
        targets_BT = np.where(real_BT, answers_BT, IGNORED)[:, 1:]
        arrays = {
            "images": images,
            "ids": ids_BT,
            "mask": mask_BT,
            "inputs": np.ascontiguousarray(answers_BT[:, :-1]),
            "targets": np.ascontiguousarray(targets_BT),
        }
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        triples = [triple for _, triple in rows]
        return {**tensors, "questions": questions, "triples": triples, "long": long, "repeats": repeats}

    def _padded(self, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """ids_BT and mask_BT (True = token), padded to the longest row."""
        mask_BT = np.arange(max(map(len, rows))) < np.array([len(row) for row in rows])[:, None]
        ids_BT = np.full(mask_BT.shape, self.tokenizer.pad, dtype=np.int64)
        ids_BT[mask_BT] = np.concatenate(rows)
        return ids_BT, mask_BT

    def _states(self, questions: list[str]) -> Tensor | None:
        """The frozen text tower's states, [B, T, W]; None where the decoder reads questions by itself."""
        text = self.model.text
        if text is None:
            return None
        return torch.nn.utils.rnn.pad_sequence(
            [self._state(text, question) for question in questions], batch_first=True
        )

    def _state(self, text: TextTower, question: str) -> Tensor:
        """The frozen text tower's states of one question, [T, W]. Computed alone and in fp32, so that they
        are the same bits whatever the batch and wherever a resumed run starts."""
        if question not in self.states:
            ids_BT = torch.tensor(
                [self.encode_question(question, self.params.max_question)], device=self.run.device
            )
            with torch.autocast(self.run.device.split(":")[0], enabled=False):
                states_1TW = self.model.text_states(ids_BT, torch.ones_like(ids_BT, dtype=torch.bool))
                assert states_1TW is not None  # the model has a text tower
                self.states[question] = states_1TW[0]
            while len(self.states) * self.params.max_question * text.width * 4 > CACHE_BYTES:
                self.states.popitem(last=False)
        self.states.move_to_end(question)
        return self.states[question]

    def _score(self, batch: dict, right: dict[str, float], total: dict[str, float]) -> None:
        """Add a validation batch to the counts by type: answers for short ones, tokens for descriptions."""
        tokens_NPD = self.image_tokens(batch)
        for group in (batch["short"], batch["long"]):
            if group is None:
                continue
            output = self.decode(tokens_NPD, group)[1]
            guessed_BT = self.model.tokens_of(output.logits.argmax(-1))
            real_BT = group["targets"] != IGNORED
            hit_BT = (guessed_BT == group["targets"]) & real_BT
            if self.metric == TOKEN_LIKELIHOOD:
                right[TOKEN_LIKELIHOOD] -= float(self.summed_loss(output.logits, group))
                total[TOKEN_LIKELIHOOD] += float(real_BT.sum())
            for row, triple in enumerate(group["triples"]):
                length, hits = int(real_BT[row].sum()), int(hit_BT[row].sum())
                whole = triple["type"] != "describe"
                right[triple["type"]] += float(hits == length) if whole else hits
                total[triple["type"]] += 1.0 if whole else length
            if len(self.sample_lines) < SAMPLES:
                self.sample_lines += [
                    self._line(triple, guess)
                    for triple, guess in zip(group["triples"][:SAMPLES], guessed_BT, strict=False)
                ]

    def _line(self, triple: dict, guess_T: Tensor) -> str:
        ids = guess_T.tolist()
        end = ids.index(self.tokenizer.eos) if self.tokenizer.eos in ids else len(ids)
        return f"Q: {triple['question']} A: {self.tokenizer.decode(ids[:end])} (true: {triple['answer']})"


def _group_of(group: dict | None, images: slice) -> dict | None:
    """The questions of a group that are about some pictures of the batch, padded to the longest of them."""
    if group is None:
        return None
    first, end = np.searchsorted(group["images"].numpy(), [images.start, images.stop]).tolist()
    if first == end:
        return None
    part: dict = {"images": group["images"][first:end] - images.start}
    for name in ("questions", "ids", "mask", "triples", "inputs", "targets"):
        each = len(group[name]) // len(group["images"])
        part[name] = group[name][first * each : end * each]
    asked, answered = int(part["mask"].sum(1).max()), int((part["targets"] != IGNORED).sum(1).max())
    part |= {name: part[name][:, :asked] for name in ("ids", "mask")}
    part |= {name: part[name][:, :answered] for name in ("inputs", "targets")}
    return part | {"long": group["long"], "repeats": group["repeats"]}
