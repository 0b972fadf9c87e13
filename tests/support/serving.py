"""What the tests of the server share: pictures as URLs, bodies of requests, a real server."""

import base64
import io
import shutil
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import uvicorn
from PIL import Image

from sightline.core import artifacts
from sightline.core.params.generation import Spin
from sightline.data.shards import Items
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.confidence import Confidence
from sightline.inference.drift import Histogram
from sightline.inference.object_words import ObjectWords
from sightline.inference.onnx_engine import CONFIG, DECODER_KEYS, GRAPHS, SEARCH_SIDE
from sightline.serve.deploy import environments
from sightline.serve.server import Server
from tests.support import tiny

DEV = environments.load("dev")
CONFIDENCES = Histogram.of(np.linspace(0.05, 0.95, 200), 0.5)  # as if of val
SPIN = Spin(keep=0.5, alpha=0.5, layers=(0, 1))  # of the tiny bundle


def free_port() -> str:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def build_bundle(here, tiny_graphs, name="bundle", thumbnails=0, description_weight=0.05, **generation):
    """A bundle of tiny random models with ten items, in `here`; `thumbnails`: side of the pictures that its
    index keeps; `description_weight`: of re-ranking; `generation`: how it describes, if not greedily."""
    from sightline.inference.out_of_domain import OODDetector
    from sightline.inference.session import Session
    from sightline.search import bundle

    if not (here / "onnx").exists():
        with artifacts.create(here / "onnx", "onnx", {"variants": ["fp32"], "shipped": "fp32"}) as folder:
            shutil.copytree(tiny_graphs, folder, dirs_exist_ok=True)
        tiny.raw(here / "raw")
    exported = artifacts.load(here / "onnx", "onnx")
    inputs = bundle.BundleInputs(
        exported, Session.load_variant(exported.path, "fp32"),
        Confidence(temperature=1.0, sure_above=0.5, reference=CONFIDENCES),
        greedy_generation(tiny.MAX_ANSWER).replaced(**generation), SPIN,
        OODDetector(np.zeros(32), np.eye(32), 5.0, Histogram.of(np.linspace(0, 10, 200), 5.0)),
        tiny.question_detector(), Items(here / "raw"), bundle.DataOrigin("scenes", "en", "a" * 64), [],
        ObjectWords(tiny.OBJECTS, 0.1, Histogram.of(np.linspace(0, 1, 200), 0.1)), description_weight,
    )  # fmt: skip
    bundle.write(here / name, inputs, tiny.index_params(thumbnails=thumbnails), 10**6)
    return here / name


def build_searching_bundle(here, tiny_graphs):
    """The same of a model without a decoder: it searches and answers nothing."""
    with artifacts.create(here / "onnx", "onnx", {"variants": ["fp32"], "shipped": "fp32"}) as folder:
        shutil.copytree(tiny_graphs, folder, dirs_exist_ok=True)
        for graph in set(GRAPHS) - set(SEARCH_SIDE):
            (folder / "fp32" / f"{graph}.onnx").unlink()
        config = artifacts.read_json(folder / "fp32" / CONFIG)
        kept = {key: value for key, value in config.items() if key not in DECODER_KEYS}
        artifacts.write_json(folder / "fp32" / CONFIG, kept)
    tiny.raw(here / "raw")
    return build_bundle(here, tiny_graphs)


def png(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def url(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def deployed(**changes):
    """deploy/dev.yaml with some settings changed: limits, and others of the top by their name."""
    limits = {name: changes.pop(name) for name in list(changes) if name in type(DEV.limits).model_fields}
    return DEV.limited(**limits).replaced(**changes)


@contextmanager
def running(app):
    """The address of a real server of `app` on loopback."""
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    if hasattr(app.state, "middleware"):
        server = Server(app)
    else:  # no application of ours
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [free]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{free.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        free.close()


def chat(question="Is there a cup?", picture=0, **more):
    """The body of a chat request about one of the tiny pictures."""
    shown = url(png(tiny.pictures(picture + 1)[picture])) if isinstance(picture, int) else picture
    content = [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": shown}},
    ]
    return {"model": "sightline", "messages": [{"role": "user", "content": content}], **more}
