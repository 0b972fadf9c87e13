"""The model without HTTP, in a process of its own:
`python -m sightline_lab.load_test.in_process BUNDLE REQUESTS`.

REQUESTS is a JSON file, kind -> [[data URL, question], ...]. A line on stdin, `kind seconds`, is answered by
a line of JSON: number of answers, wall seconds and CPU seconds.

Decoding, preprocessing, batches and model are the server's own functions.
"""

import itertools
import json
import sys
import time
from pathlib import Path

from sightline.data.image_workers import ImageWorkers
from sightline.serve import image_input
from sightline.serve.batch_model import Model, Query, Question
from sightline.serve.deploy import environments
from sightline.serve.deploy.deployment import Limits


def answer(
    model: Model, limits: Limits, workers: ImageWorkers, pairs: list[list[str]], seconds: float
) -> dict[str, float]:
    """Answer full batches until the time is over."""
    session = model.session
    turn, count = itertools.cycle(pairs), 0
    begun, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        asks = [
            Query(
                Question(text, session.settings.generation.greedy(), session.spin()),
                image_input.read(url, session.pixels, limits, False, workers),
            )
            for url, text in itertools.islice(turn, model.batch)
        ]
        count += len(model.answer(asks, lambda *_: None, lambda _: False))
    return {
        "answers": count, "seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - used,
    }  # fmt: skip


def main(bundle: str, requests: str) -> None:
    limits = environments.load("dev").limits
    model = Model.load(Path(bundle), limits.batch)
    pairs_by_kind = json.loads(Path(requests).read_text(encoding="utf-8"))
    with ImageWorkers() as workers:
        for line in sys.stdin:
            kind, seconds = line.split()
            measured = answer(model, limits, workers, pairs_by_kind[kind], float(seconds))
            print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
