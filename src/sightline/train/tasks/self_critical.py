"""Descriptions that learn by their CIDEr-D: self-critical sequence training.

Rennie et al. 2017 (arXiv 1612.00563, equation 9), with the mean of an image's other samples as the baseline
of each (Luo 2020, arXiv 2003.09971). A measure of whole texts rewards what a search
writes; cross entropy only sees one word after true words. The short answers go on as in VqaTask.

By themselves the new weights write short texts, so what is kept is their mean with those before (Wortsman et
al. 2022, arXiv 2109.01903). Validation measures that mean.

N images and B rows (K samples of each image) of this process, T tokens, P patches, D width, C tokens that the
model scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sightline.data.cider import CiderD
from sightline.models.vlm import VLM, Memory
from sightline.train import distributed, sample_captions
from sightline.train.tasks.vqa import EVAL_BATCH, IGNORED, VAL_IMAGES, VqaTask

END = "</s>"  # counts as a word: a text that breaks off where none would end scores less
POINTS = 100.0  # of CIDEr-D in one unit of reward

Pick = Callable[[Tensor], Tensor]  # logits_BC -> the place of one score in each row


class SelfCriticalTask(VqaTask):
    """`metric`: CIDEr-D of greedy descriptions of val by the mean of the weights, with the weights of the
    n-grams of train. No dropout: the samples are those of the model that learns from them."""

    starts_trained = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.metric = "cider_d"
        self.before = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.references = {
            split: {int(number): self._references(int(number)) for number in numbers}
            for split, numbers in self.numbers.items()
        }
        self.cider = CiderD(self.references["train"].values())

    @torch.no_grad()
    def take_mean(self) -> None:
        """Give the model the mean of its weights and those before, `self_critical_share` of its own."""
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(self.before[name], 1.0 - self.params.self_critical_share)

    def train(self, mode: bool = True) -> SelfCriticalTask:
        super().train(mode)
        self.model.eval()
        return self

    def drawn_per_image(self) -> tuple[int, int]:
        return self.params.questions_per_image, self.params.self_critical_samples

    def parts(self, loaded: dict, rows: int) -> list[dict]:
        """The whole: how many tokens share its loss is known only once all samples are written."""
        return [loaded]

    def forward(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        """params.short_answer_weight times the short answers' mean cross entropy per token, in nats, plus the
        samples' mean advantage-weighted one."""
        tokens_NPD = self.image_tokens(batch)
        short, long = tokens_NPD.new_zeros(()), tokens_NPD.new_zeros(())
        reward = tokens_NPD.new_zeros(())
        if batch["short"]:
            count = int((batch["short"]["targets"] != IGNORED).sum())
            short = self.group_loss(tokens_NPD, batch["short"]) / max(1, count)
        if batch["long"]:
            long, reward = self._policy_loss(tokens_NPD, batch)
        loss = self.params.short_answer_weight * short + long
        return loss, {"short_answers": short.detach(), "reward": reward}

    def _policy_loss(self, tokens_NPD: Tensor, batch: dict) -> tuple[Tensor, Tensor]:
        group = batch["long"]
        with torch.no_grad():
            written_BT = write(self.model, self._memory(tokens_NPD, group), self.tokenizer, _sampled)
            rewards_NK = self._rewards(written_BT, group, batch["numbers"]).to(written_BT.device)
        samples = rewards_NK.shape[1]
        advantage_NK = (rewards_NK - rewards_NK.mean(1, keepdim=True)) * samples / (samples - 1)
        targets_BT = written_BT[:, 1:]
        real_BT = targets_BT != IGNORED
        inputs_BT = written_BT[:, :-1].where(written_BT[:, :-1] != IGNORED, self.tokenizer.pad)
        logits_BTC = self.decode(tokens_NPD, {**group, "inputs": inputs_BT})[1].logits.float()
        picked_BT = self.model.scores_of(targets_BT.where(real_BT, 0))
        logprobs_BT = logits_BTC.log_softmax(-1).gather(2, picked_BT[..., None])[..., 0]
        weighted_BT = advantage_NK.flatten()[:, None] * logprobs_BT * real_BT
        return -weighted_BT.sum() / real_BT.sum(), rewards_NK.mean()

    def _rewards(self, written_BT: Tensor, group: dict, numbers: Sequence[int]) -> Tensor:
        """[N, K], in units of POINTS."""
        images = group["images"].tolist()
        samples = len(written_BT) // len(images)
        references = [self.references["train"][int(numbers[image])] for image in images]
        scores = [
            self.cider.score(text, references[row // samples]) / POINTS
            for row, text in enumerate(self._words(written_BT))
        ]
        return torch.tensor(scores).unflatten(0, (len(images), samples))

    @torch.no_grad()
    def evaluate(self) -> tuple[float, dict[str, float]]:
        """CIDEr-D of greedy descriptions, in hundredths, and the accuracies of VqaTask, of the mean of the
        weights."""
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.take_mean()
        try:
            return self._evaluated()
        finally:
            self.model.load_state_dict(own)

    def _evaluated(self) -> tuple[float, dict[str, float]]:
        accuracy, _ = self.answer_accuracy()
        total, described = 0.0, 0.0
        numbers = self.numbers["val"][:VAL_IMAGES]
        for start in range(self.run.rank * EVAL_BATCH, len(numbers), self.run.world * EVAL_BATCH):
            chunk = numbers[start : start + EVAL_BATCH]
            drawn: list[tuple[list[dict], list[dict]]] = []
            for number in chunk:
                lines = self.lines["val"][int(number)]
                rng = sample_captions.generator(self.seed, "val questions", int(number))
                drawn.append(sample_captions.questions(self.triples["val"], lines, (0, 1), False, rng))
            batch = self.place(self._inputs(chunk, drawn))
            if not batch["long"]:
                continue
            memory = self._memory(self.image_tokens(batch), batch["long"])
            texts = self._words(write(self.model, memory, self.tokenizer, _likeliest))
            for image, text in zip(batch["long"]["images"].tolist(), texts, strict=True):
                total += self.cider.score(text, self.references["val"][int(chunk[image])])
                described += 1.0
        total, described = distributed.sum_over_ranks([total, described], self.run)
        return total / max(1.0, described), accuracy

    def deciding(self) -> str:
        return f"CIDEr-D of the descriptions of {len(self.numbers['val'][:VAL_IMAGES])} pictures of val"

    def _memory(self, tokens_NPD: Tensor, group: dict) -> Memory:
        return self.decode(tokens_NPD, {**group, "inputs": group["inputs"][:, :1]})[0]

    def _references(self, number: int) -> list[list[str]]:
        texts = sample_captions.captions(self.items[number])
        return [[*sample_captions.words_of(text), END] for text in texts]

    def _words(self, written_BT: Tensor) -> list[list[str]]:
        """The words of each text, and END where it ended by itself."""
        texts = []
        for ids in written_BT[:, 1:].tolist():
            ended = self.tokenizer.eos in ids
            known = [token for token in ids if token not in (self.tokenizer.eos, IGNORED)]
            texts.append([*sample_captions.words_of(self.tokenizer.decode(known)), *([END] * ended)])
        return texts


def write(model: VLM, memory: Memory, tokenizer: Any, pick: Pick) -> Tensor:
    """Texts of at most config["max_answer"] tokens from every row of the memory: the beginning, tokens, the
    end, then IGNORED, [B, T]."""
    rows = len(memory.mask_BM)
    token_B = torch.full((rows,), tokenizer.bos, device=memory.mask_BM.device)
    columns, cache, done_B = [token_B], None, torch.zeros_like(token_B, dtype=torch.bool)
    for _ in range(model.config["max_answer"] - 1):
        out = model.step(token_B[:, None], cache, memory)
        cache = out.cache
        token_B = model.tokens_of(pick(out.logits[:, -1].float()))
        columns.append(token_B.where(~done_B, IGNORED))
        done_B = done_B | (token_B == tokenizer.eos)
        if done_B.all():
            break
    return torch.stack(columns, 1)


def _sampled(logits_BC: Tensor) -> Tensor:
    return torch.multinomial(logits_BC.softmax(-1), 1)[:, 0]


def _likeliest(logits_BC: Tensor) -> Tensor:
    return logits_BC.argmax(-1)
