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
from sightline.inference.confidence import NOT_FITTED
from tests.support import tiny

SPIN = {"keep": 0.5, "top_k": None, "alpha": 0.5, "layers": [0, 1], "score": "mass"}  # of the tiny bundle


def build_bundle(here, tiny_graphs):
    """A bundle of tiny random models with ten items, in `here`."""
    from sightline.inference.out_of_domain import Domain
    from sightline.inference.session import Session
    from sightline.search import bundle

    with artifacts.create(here / "onnx", "onnx", {"variants": ["fp32"], "shipped": "fp32"}) as folder:
        shutil.copytree(tiny_graphs, folder, dirs_exist_ok=True)
    exported = artifacts.load(here / "onnx", "onnx")
    session = Session.load_variant(exported.path, "fp32")
    settings = {"spin": SPIN, "confidence": NOT_FITTED | {"sure_above": 0.5}}
    known = Domain(np.zeros(32), np.eye(32), 5.0)
    items = tiny.raw(here / "raw")
    bundle.write(here / "bundle", exported, session, items, "scenes", "test", "Flat", settings, known, 10**6)
    return here / "bundle"


def png(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def url(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@contextmanager
def running(app):
    """The address of a real server of `app` on loopback."""
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
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
