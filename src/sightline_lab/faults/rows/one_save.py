"""One save in a process of its own, which row 2 kills: `python -m ...one_save KIND FOLDER VERSION`."""

import sys
from pathlib import Path

import numpy as np

from sightline.core import artifacts, atomic_io

NAME, KIND = "saved", "toy"
SIDE = 64


def content(version: int) -> np.ndarray:
    return np.full((SIDE, SIDE), float(version), np.float32)


def save(kind: str, folder: Path, version: int) -> None:
    if kind == "file":
        atomic_io.write_bytes(folder / NAME, content(version).tobytes())
    elif kind == "artifact":
        with artifacts.create(folder / NAME, KIND, {"version": version}, "A toy.\n") as filling:
            (filling / "part").mkdir()
            artifacts.save_weights(filling / "part" / "weights.safetensors", {"x": content(version)})
    else:
        from sightline.train.checkpoint import State

        state = State(step=version, best_step=version, best_metric=float(version))
        store(folder).save_best(version, {"x": content(version)})
        store(folder).save(state, {"x": content(version)})


def read(kind: str, folder: Path) -> int:
    """The version that is there; raises ValueError for anything else than a whole one."""
    if kind == "file":
        values = np.frombuffer((folder / NAME).read_bytes(), np.float32)
    elif kind == "artifact":
        loaded = artifacts.load(folder / NAME, KIND, everything=True)
        values = artifacts.load_weights(loaded.path / "part" / "weights.safetensors")["x"].ravel()
        if loaded.config["version"] != values[0]:
            raise ValueError(f"config of version {loaded.config['version']}, weights of {values[0]}")
    else:
        found = store(folder).load()
        if found is None:
            raise ValueError("no state can be read")
        state, tensors = found
        values = np.concatenate([tensors["x"].ravel(), store(folder).best(state)["x"].ravel()])
        if state.step != values[0]:
            raise ValueError(f"the state of step {state.step} with weights of {values[0]}")
    if len(values) % SIDE**2 or len(set(values.tolist())) != 1:
        raise ValueError(f"{len(values)} numbers, {len(set(values.tolist()))} different ones")
    return int(values[0])


def store(folder: Path):
    from sightline.core.runtime import Runtime
    from sightline.train.checkpoint import Store

    return Store(folder / NAME, Runtime("cpu", 0, 1, 1))


if __name__ == "__main__":
    save(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
