"""What the tests of audits share: a chat endpoint of OpenAI's form that answers by a script, and models whose
rates are known."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sightline.audit.answerer import Identity, Reply

Answer = Callable[[str, bytes], str]  # (question, encoded picture) -> answer
Fault = Callable[
    [int, dict], tuple[int, dict[str, str], bytes] | None
]  # (number, body) -> instead of a reply


def hashed(question: str, picture: bytes) -> str:
    """An answer that depends on question and picture, and on nothing else."""
    first = hashlib.sha256(question.encode() + picture).digest()[0]
    if question.startswith("Describe"):
        return ("a ball and a cube", "a red star", "two trees and a boat")[first % 3]
    return ("Yes, there is.", "No.", "2", "The left.", "It is red.", "I cannot say.")[first % 6]


class Endpoint:
    """A running endpoint: its `url`, every request body in `bodies`, every header in `headers`."""

    def __init__(self, answer: Answer, fault: Fault, usage: bool) -> None:
        self.answer, self.fault, self.usage = answer, fault, usage
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.most = self.running = 0
        self.lock = threading.Lock()
        self.url = ""


@contextmanager
def endpoint(answer: Answer = hashed, fault: Fault = lambda number, body: None, usage: bool = True):
    """An endpoint on loopback. `fault` gives a status, headers and body to send in place of the answer."""
    made = Endpoint(answer, fault, usage)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with made.lock:
                made.bodies.append(body)
                made.headers.append(dict(self.headers.items()))
                made.paths.append(self.path)
                made.running += 1
                made.most = max(made.most, made.running)
                number = len(made.bodies)
            try:
                status, headers, data = made.fault(number, body) or (200, {}, _completion(made, body))
            finally:
                with made.lock:
                    made.running -= 1
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            """A client that was killed, or gave up waiting, is no fault of the endpoint."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def _completion(made: Endpoint, body: dict) -> bytes:
    shown, question = (part for part in body["messages"][0]["content"])
    picture = base64.b64decode(shown["image_url"]["url"].partition(",")[2])
    text = made.answer(question["text"], picture)
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
    choice["finish_reason"] = "stop"
    if body.get("logprobs"):
        choice["logprobs"] = {
            "content": [{"token": text, "logprob": -0.25}, {"token": ".", "logprob": -0.25}]
        }
    usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}}
    return json.dumps({"choices": [choice]} | (usage if made.usage else {})).encode()


class ScriptedModel:
    """An answerer whose answer is `answer(request)`: a text or a Reply."""

    identity = Identity(form="endpoint", name="scripted", version="")

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer, self.asked = answer, 0

    def answers(self, requests):
        for request in requests:
            self.asked += 1
            reply = self.answer(request)
            yield request, reply if isinstance(reply, Reply) else Reply(text=reply)
