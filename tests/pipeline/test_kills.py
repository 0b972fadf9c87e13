"""SIGKILL at random moments of the training stages: the same command again ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sightline.core.params.loader import load_params
from tests.pipeline.conftest import fresh

KILLS = 27
STAGES = {
    "pretrain": ["models/text", "plots/pretrain"],
    "align": ["models/clip", "plots/align"],
    "finetune": ["models/vlm", "models/blind", "plots/finetune"],
}


def launch(repo, stage: str) -> subprocess.Popen:
    params = load_params(repo.path / "params.yaml")
    command = [sys.executable, "stages/launch.py", *params.launch.split(), f"stages/{stage}.py"]
    return subprocess.Popen(
        command,
        cwd=repo.path,
        env=os.environ | {"OMP_NUM_THREADS": str(params.threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def files(repo, outs: list[str]) -> dict[str, bytes]:
    return {
        path.relative_to(repo.path).as_posix(): path.read_bytes()
        for out in outs
        for path in sorted((repo.path / out).rglob("*"))
        if path.is_file()
    }


def descendants(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.full
@pytest.mark.parametrize("stage", STAGES)
def test_killed_training_ends_with_the_same_bits(smoke, tmp_path, stage):
    """A third of the kills hit one rank, a third the launcher, a third all; no orphan lives 10 s longer."""
    rng = random.Random(f"kills of {stage}")
    repo = fresh(tmp_path / "sightline")
    needed = [
        name
        for name in ("data/raw", "data/vqa", "models/text", "models/clip")
        if name not in STAGES[stage] and (smoke.path / name).exists()
    ]
    for name in needed:
        (repo.path / name).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", str(smoke.path / name), str(repo.path / name)], check=True)
    started = time.monotonic()
    process = launch(repo, stage)
    assert process.wait(timeout=600) == 0, process.stdout.read().decode()[-3000:]
    length = time.monotonic() - started
    reference = files(repo, STAGES[stage])
    assert reference == files(smoke, STAGES[stage]), (
        "an uninterrupted run outside DVC differs from the one inside"
    )
    for out in STAGES[stage]:
        subprocess.run(["rm", "-rf", str(repo.path / out)], check=True)
    kills = 0
    while kills < KILLS // len(STAGES):
        process = launch(repo, stage)
        time.sleep(rng.uniform(1.0, length))
        family = descendants(process.pid)
        if process.poll() is not None:
            assert process.returncode == 0, process.stdout.read().decode()[-3000:]
            for out in STAGES[stage]:
                subprocess.run(["rm", "-rf", str(repo.path / out)], check=True)
            continue
        victims = [family, family[:1], family[-1:]][kills % 3]
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        kills += 1
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, f"orphans: {[' '.join(orphan.cmdline()) for orphan in alive]}"
        for out in STAGES[stage]:
            folder = repo.path / out
            assert not folder.exists() or stage_finished(folder), f"{out} looks complete after a kill"
    process = launch(repo, stage)
    assert process.wait(timeout=600) == 0, process.stdout.read().decode()[-3000:]
    assert files(repo, STAGES[stage]) == reference
    print(f"{stage}: {kills} kills, {len(reference)} files equal")


def stage_finished(folder: Path) -> bool:
    """An artifact appears whole by one rename; curves are not read by any later stage."""
    return (folder / "manifest.json").exists() or folder.parts[-2] == "plots"
