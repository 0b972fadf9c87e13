"""A naive baseline server: FastAPI, PyTorch, a plain endpoint, one request at a time through the
model: `python -m sightline_lab.load_test.naive_server ROOT --port PORT`. It answers OpenAI's chat requests
with a picture as a data URL, with the checkout's trained model, decoded and preprocessed as the real server
does it.
"""

import argparse
import base64
import threading
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI

from sightline.data import images
from sightline.inference import torch_session

MAX_PIXELS = 13_000_000


def create(root: Path) -> FastAPI:
    models = root / "models"
    session = torch_session.session(torch_session.load_vlm(models / "vlm"), None, models / "onnx")
    app, one_at_a_time = FastAPI(), threading.Lock()

    @app.get("/live")
    def live() -> dict:
        return {}

    @app.post("/v1/chat/completions")
    def chat(body: dict) -> dict:
        text, picture = body["messages"][-1]["content"]
        data = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
        rgb = images.decode(data, MAX_PIXELS)
        with one_at_a_time, torch.inference_mode():
            answer = session.answer([rgb], [text["text"]])[0]
        message = {"role": "assistant", "content": answer.text}
        return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    uvicorn.run(create(arguments.root), host="127.0.0.1", port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
