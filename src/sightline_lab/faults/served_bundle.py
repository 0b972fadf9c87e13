"""The checkout's bundle, served by a process of its own: `python -m sightline_lab.faults.served_bundle BUNDLE
LIMITS SECONDS --port PORT`, where LIMITS is a JSON object and SECONDS what an answer takes at least; and
requests for it.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sightline.core.replace_folder import MANIFEST
from sightline_lab.faults.battery import Missing
from sightline_lab.load_test import hostile_images, load_client, server_process

BUNDLE = Path("models/bundle")
BATCH = 4  # rows of a model call
CHAT = "/v1/chat/completions"
QUESTIONS = ("Is there a ball?", "What color is the heart?", "How many stars are there?", "")
OPTIONS = (
    {}, {"sightline": {"spin": True}}, {"sightline": {"explanation": True}}, {"temperature": 1.3, "seed": 11},
    {"sightline": {"retrieval": 3}}, {"max_tokens": 2},
)  # fmt: skip


class Served:
    """A server of the bundle that is worked in, until it is closed. answer_s: what an answer takes at least,
    as on a slower machine; `limits`: of deploy/dev.yaml that are changed. Raises Missing where there is no
    bundle."""

    def __init__(self, answer_s: float = 0.0, **limits: float) -> None:
        if not (BUNDLE / MANIFEST).is_file():
            raise Missing(f"no {BUNDLE} here: run `dvc repro` first, in the folder of params.yaml")
        command = ["-m", __spec__.name, BUNDLE, json.dumps({"batch": BATCH, **limits}), str(answer_s)]
        self._running = ExitStack()
        running = server_process.server(command, None, "/ready")
        self.address, self.pid = self._running.enter_context(running)

    def close(self) -> None:
        self._running.close()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def request(rng: np.random.Generator) -> bytes:
    """A whole request to one of the routes that ask the model, about a picture of noise or in words."""
    kind = rng.choice(["ask", "ask", "embed", "search", "explain"])
    words = " ".join(rng.choice(["a", "red", "ball", "blue", "star", "house"], int(rng.integers(1, 9))))
    if kind == "embed":
        inputs = [words, picture(rng)][: int(rng.integers(1, 3))]
        return load_client.post("/v1/embeddings", _json(model="sightline", input=inputs))
    if kind == "search":
        return load_client.post("/search", _json(text=words, k=int(rng.integers(1, 20))))
    question = str(rng.choice(QUESTIONS))
    if kind == "explain":
        return load_client.post("/explain", _json(image=picture(rng), question=question))
    content = [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": picture(rng)}},
    ]
    message, more = {"role": "user", "content": content}, OPTIONS[int(rng.integers(len(OPTIONS)))]
    return load_client.post(CHAT, _json(model="sightline", messages=[message], **more))


def picture(rng: np.random.Generator) -> str:
    """A data URL."""
    height, width = (int(side) for side in rng.integers(8, 200, 2))
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file, "PNG")
    return hostile_images.url(file.getvalue())


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _slowed(answer: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def later(*given: Any) -> Any:
        time.sleep(seconds)
        return answer(*given)

    return later


def main(bundle: str, limits: str, answer_s: str, _: str, port: str) -> None:
    from sightline.serve import server
    from sightline.serve.api import create_app
    from sightline.serve.batch_model import Model
    from sightline.serve.deploy import environments

    deployment = environments.load("dev").replaced(port=int(port)).limited(**json.loads(limits))
    model = Model.load(Path(bundle), deployment.limits.batch)
    model.answer = _slowed(model.answer, float(answer_s))  # type: ignore[method-assign]  # of this one alone
    server.serve(create_app(model, deployment), deployment)


if __name__ == "__main__":
    main(*sys.argv[1:])
