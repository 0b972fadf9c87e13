"""Row 26: what clients send is found nowhere on the server's side: not in logs, metrics, errors or files."""

from __future__ import annotations

import base64
import io
import json
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from sightline_lab.faults import command_server
from sightline_lab.faults.battery import Broken, Case, Promise
from sightline_lab.faults.rows import model_files

REQUESTS = 40  # of a case, each with canaries of its own
KEY = "SIGHTLINE_KEY"
DESCRIPTION, MAKER, GPS, PLACE = 0x010E, 0x010F, 0x8825, 0x001B  # tags of EXIF that tell of people
ROUTES = ("/v1/chat/completions", "/v1/embeddings", "/search", "/similar", "/explain")


def case(case: Case) -> int:
    """A server with a key, REQUESTS requests, and a look at all that it wrote and refused."""
    rng, here = case.rng, case.scratch
    own, kept = f"canary{secrets.token_hex(12)}", here / "tmp"
    kept.mkdir()
    (here / "keys.env").write_text(f"{KEY}={own}\n")
    canaries, answers = [own], []
    with command_server.serving(
        case.prepared, here / "log", "--keys", str(here / "keys.env"), tmp=kept
    ) as port:
        for _ in range(REQUESTS):
            sent, status, body = _asked(port, own, rng)
            canaries += sent
            if status >= 400:
                answers.append(body)
        of_metrics = {"Authorization": f"Bearer {own}"}
        answers.append(command_server.call(port, "GET", "/metrics", None, of_metrics)[1])
    files = [here / "log", *(path for path in kept.rglob("*") if path.is_file())]
    written = {path.name: path.read_bytes() for path in files}
    named = {path.name: path.name.encode() for path in kept.rglob("*")}
    told = {f"answer {number}": body for number, body in enumerate(answers)}
    for place, content in (*written.items(), *named.items(), *told.items()):
        for canary in canaries:
            if canary.encode() in content:
                at = content.index(canary.encode())
                raise Broken(f"{place} holds a private text: {content[max(0, at - 150) : at + 60]!r}")
    return len(canaries)


def _asked(port: int, key: str, rng: np.random.Generator) -> tuple[list[str], int, bytes]:
    """(private texts that were sent, status, body) of one request, right or wrong."""
    names: Iterator[str] = iter(lambda: f"canary{rng.bytes(12).hex()}", "")
    canary, other, place, wrong, agent = (next(names) for _ in range(5))
    route = str(rng.choice(ROUTES))
    picture = _picture(canary, place)
    content = [
        {"type": "text", "text": f"Is there a {other}?"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    bodies: dict[str, Any] = {
        "/v1/chat/completions": {"model": "sightline", "messages": [{"role": "user", "content": content}]},
        "/v1/embeddings": {"model": "sightline", "input": [other]},
        "/search": {"text": f"a red {other}"}, "/similar": {"id": other},
        "/explain": {"image": picture, "question": f"Is there a {other}?"},
    }  # fmt: skip
    body: Any = bodies[route]
    form = int(rng.integers(8))
    headers = {"Authorization": f"Bearer {key}", "User-Agent": agent, "Content-Type": "application/json"}
    if form == 1:
        headers["Authorization"] = f"Bearer {wrong}"
    elif form == 2:
        body |= {other: canary}
    elif form == 3:
        body = {name: [{other: canary}] for name in body}
    elif form == 4:
        route = f"/{other}/../{canary}?key={wrong}"
    elif form == 5:
        body = {"image": f"file:///{other}.png", "question": canary}
    elif form == 6:
        body = {"image": f"https://user:{wrong}@{other}.example/{canary}.png"}
    data = json.dumps(body).encode() if form != 7 else f'{{"text": "{other}", {canary}'.encode()
    status, answer = command_server.call(port, "POST", route, data, headers)
    return [canary, other, place, wrong, agent], status, answer


def _picture(description: str, place: str) -> str:
    """A JPEG whose EXIF tells who took it and where, as a data address."""
    exif = Image.Exif()
    exif[DESCRIPTION], exif[MAKER] = description, description
    exif.get_ifd(GPS)[PLACE] = place.encode()
    out = io.BytesIO()
    Image.new("RGB", (48, 48), "red").save(out, "JPEG", exif=exif, comment=description.encode())
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


PROMISE = Promise(
    26, "Private texts", "Keys, questions, queries, names of files and what EXIF tells are found nowhere in "
    "the server's log, metrics, errors and files.", "texts", 2, 50, case,
    model_files.prepare,
)  # fmt: skip
