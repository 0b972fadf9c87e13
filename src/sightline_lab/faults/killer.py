"""Forks toy trainings and ends them: `python -m ...killer OUT KILLS SIGNAL SEED`. Prints how each ended, as
JSON.

torch is imported once, so that a kill costs milliseconds. Each of the first KILLS runs gets the signal when
it has reached a random step (its first one at the earliest), a random moment later; the last run may finish.
"""

import json
import mmap
import os
import random
import sys
import time
from pathlib import Path

import dvclive  # noqa: F401  (this and the next are imported here once, not by every child)
import torch._dynamo  # noqa: F401

from sightline.core import runtime, source_digest
from sightline.train import checkpoint
from sightline_lab.faults import toy_training

STEPS = 40
SLOW_S = 0.005
NOT_YET = 255


def child(out: Path, reached: mmap.mmap) -> None:
    """Train in this process and end it with the code that the program would have; `reached` tells the
    step."""
    code: str | int | None = 1
    try:
        run = runtime.start(threads=1, seed=3)
        task = toy_training.make(run, STEPS, SLOW_S)
        batch = task.load

        def told(step: int) -> dict:
            reached[0] = step
            return batch(step)

        task.load = told  # type: ignore[method-assign]
        toy_training.train(run, out, task)
        code = 0
    except SystemExit as stop:
        code = stop.code
    finally:
        os._exit(code if isinstance(code, int) else 1)


def main(out: Path, kills: int, number: int, seed: int) -> None:
    checkpoint.SAVE_EVERY_S, source_digest.digest = 0.05, lambda *starts: ""  # which takes a second
    out.mkdir(parents=True, exist_ok=True)
    dice, ends, reached, step = random.Random(seed), [], mmap.mmap(-1, 1), 0
    while not ends or (len(ends) <= kills and ends[-1]["code"]):
        reached[0] = NOT_YET
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)
            child(out, reached)
        if len(ends) < kills:
            target = dice.randrange(STEPS - 5)
            while reached[0] == NOT_YET or reached[0] < target:
                time.sleep(0.001)
            time.sleep(dice.uniform(0, 3 * SLOW_S))
            step = reached[0]
            os.kill(pid, number)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        states = list(Path(".resume/toy").glob("*/state.json"))
        saved = json.loads(states[0].read_text())["state"]["step"] if states else 0
        ends.append({"code": code, "step": step, "saved": saved})
    print(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
