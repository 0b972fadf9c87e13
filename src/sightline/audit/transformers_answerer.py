"""An image-text-to-text model of transformers (LLaVA, SmolVLM, Idefics3, Qwen-VL, Mllama, ...), from a folder
or the hub at a pinned commit: its own processor, its chat template where it has one, greedy decoding in
batches.

No code of the repository is run, and weights are read from safetensors alone.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sightline.audit.answerer import Identity, Reply
from sightline.audit.audit_items import Request
from sightline.data import images
from sightline.inference import chat_prompt, transformers_model

MAX_PIXELS = 2**25


class TransformersAnswerer:
    """`where` is a folder, or with a `revision` (a commit, 40 digits) a name on the hub. It runs on the
    accelerator if there is one, in the type that its weights have.

    Raises ValueError for what is no such model.
    """

    def __init__(self, where: str, revision: str | None, batch: int) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded = transformers_model.load(where, revision)
        self._model, self._processor = loaded.model.to(device), loaded.processor
        tokenizer = self._processor.tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._batch = batch
        name = where if revision else loaded.folder.resolve().name
        self.identity = Identity(form="transformers", name=name, version=revision or digest(loaded.folder))

    def answers(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Reply]]:
        for tokens in sorted({request.tokens for request in requests}):
            waiting = iter([request for request in requests if request.tokens == tokens])
            while chunk := list(islice(waiting, self._batch)):
                try:
                    replies = self._generated(chunk, tokens)
                except torch.OutOfMemoryError as error:
                    raise ValueError(
                        f"the accelerator has too little memory for {len(chunk)} questions at a time: give a "
                        "smaller --batch; what was answered is kept"
                    ) from error
                yield from zip(chunk, replies, strict=True)

    @torch.inference_mode()
    def _generated(self, chunk: Sequence[Request], tokens: int) -> list[Reply]:
        started = time.monotonic()
        pictures = [
            Image.fromarray(images.decode(it.picture.data, MAX_PIXELS, it.picture.id)) for it in chunk
        ]
        inputs = self._processor(
            text=[chat_prompt.templated(self._processor, it.text) for it in chunk],
            images=[[picture] for picture in pictures], padding=True, return_tensors="pt",
        ).to(self._model.device)  # fmt: skip
        inputs = {
            name: value.to(self._model.dtype) if torch.is_floating_point(value) else value
            for name, value in inputs.items()
        }
        written = self._model.generate(
            **inputs, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None,
            max_new_tokens=tokens, pad_token_id=self._processor.tokenizer.pad_token_id,
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        new_BT = written.sequences[:, -len(written.logits) :]
        log_BT = torch.stack(
            [
                logits_BV.float().log_softmax(-1).gather(1, new_BT[:, step, None])[:, 0]
                for step, logits_BV in enumerate(written.logits)
            ],
            dim=1,
        )
        ends = _ends(self._model.generation_config.eos_token_id)
        read_B = inputs["attention_mask"].sum(dim=1).tolist()
        each = (time.monotonic() - started) / len(chunk)
        return [
            self._reply(ids.tolist(), log_T.tolist(), ends, read, each)
            for ids, log_T, read in zip(new_BT, log_BT, read_B, strict=True)
        ]

    def _reply(self, ids: list[int], logs: list[float], ends: set[int], read: int, each: float) -> Reply:
        length = next((place + 1 for place, token in enumerate(ids) if token in ends), len(ids))
        finished = length > 0 and ids[length - 1] in ends
        text = self._processor.tokenizer.decode(ids[:length], skip_special_tokens=True).strip()
        probability = float(torch.tensor(logs[:length]).sum().exp())
        return Reply(
            text=text, probability=min(probability, 1.0), cut=not finished, prompt_tokens=read,
            completion_tokens=length, seconds=each,
        )  # fmt: skip


def _ends(ids: Any) -> set[int]:
    return set(ids) if isinstance(ids, list) else set() if ids is None else {ids}


def digest(folder: Path) -> str:
    """sha256 over the names and sizes of a folder's files, and the content of all but its weights: large ones
    would take minutes to read."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        if path.suffix != ".safetensors":
            digest.update(path.read_bytes())
    return digest.hexdigest()
