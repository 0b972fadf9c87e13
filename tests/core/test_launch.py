"""How a training stage is started: the command's words, and real launchers around a real stage."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from sightline.core import launch
from tests.support import params_files
from tests.support.command_line import ROOT

STAGE = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "src")!r})
from sightline.core import runtime
with runtime.stage("pretrain") as params:
    import torch
    run = runtime.start(params.threads, params.seed)
    ones = torch.ones(1)
    if run.world > 1:
        torch.distributed.all_reduce(ones)
    Path(f"rank-{{run.rank}}.json").write_text(json.dumps([run.rank, run.world, ones.item()]))
    runtime.finish(run)
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


@pytest.mark.parametrize(
    ("devices", "sizes", "words"),
    [
        (0, [64, 32, 16], [*TORCHRUN, "2", "s.py"]),
        (0, [64, 32, 15], ["s.py"]),  # an odd batch is not shared by two
        (1, [64, 32, 16], ["s.py"]),
        (8, [256, 256, 40], [*TORCHRUN, "8", "s.py"]),
        (8, [256, 256, 12], [*TORCHRUN, "4", "s.py"]),
        (3, [64, 32, 16], [*TORCHRUN, "2", "s.py"]),
    ],
)
def test_auto_starts_a_process_for_each_accelerator(monkeypatch, devices, sizes, words):
    monkeypatch.setattr(launch, "accelerators", lambda: devices)
    assert launch.command(["auto"], "s.py", sizes) == [sys.executable, *words]
    assert launch.processes("auto", sizes) == (int(words[-2]) if len(words) > 1 else 1)


@pytest.mark.parametrize(
    ("value", "words", "processes"),
    [
        ("python", [sys.executable, "s.py"], 1),
        ("/opt/python3.11 -X dev", ["/opt/python3.11", "-X", "dev", "s.py"], 1),
        ("torchrun --nproc_per_node=8", ["torchrun", "--nproc_per_node=8", "s.py"], 8),
        ("accelerate launch --num_processes 4", ["accelerate", "launch", "--num_processes", "4", "s.py"], 4),
        (
            "srun --nodes 2 /opt/torchrun --nproc-per-node 8",
            ["srun", "--nodes", "2", "/opt/torchrun", "--nproc-per-node", "8", "s.py"],
            8,
        ),
        (
            "srun --ntasks-per-node=4",
            ["srun", "--ntasks-per-node=4", sys.executable, sys.argv[0], "--within-slurm", "s.py"],
            4,
        ),
        (
            "srun --ntasks=4 python3",
            ["srun", "--ntasks=4", "python3", sys.argv[0], "--within-slurm", "s.py"],
            4,
        ),
    ],
)
def test_a_command_of_ones_own_gets_the_script(value, words, processes):
    assert launch.command(value.split(), "s.py", [64]) == words
    assert launch.processes(value, [64]) == processes


@pytest.mark.parametrize(
    ("value", "world"),
    [
        ("torchrun --nnodes 2 --nproc-per-node 8", 16),
        ("torchrun --nnodes=4 --nproc_per_node=2 --rdzv-endpoint=a:29500", 8),
        ("torchrun --nnodes 1:4 --nproc-per-node 8", 8),  # as far as it says
        ("srun --nodes 2 --ntasks-per-node 4", 8),
        ("srun --nodes 2 --ntasks 6", 6),
        ("srun --nodes 3 --ntasks-per-node 1 torchrun --nnodes 3 --nproc-per-node 8", 24),
        ("accelerate launch --num_processes 4", 4),
        ("python", 1),
    ],
)
def test_the_processes_of_all_machines(value, world):
    assert launch.world_named(value) == world


def test_slurms_short_form_is_written_out():
    assert launch.tasks_per_node("2(x3),1") == [2, 2, 2, 1]
    assert launch.tasks_per_node("8") == [8]


def test_ranks_outside_of_slurm_are_an_error():
    with pytest.raises(ValueError, match="srun set no SLURM_PROCID"):
        launch.slurm_ranks({})


def started(checkout, value, **environment):
    """What the processes of a stage report that stages/launch.py starts, and how it ended."""
    params_files.write(checkout, leaves={"launch": value})
    (checkout / "stage.py").write_text(STAGE, encoding="utf-8")
    hidden = ("DVC_", "RANK", "WORLD_SIZE", "LOCAL_", "TORCHELASTIC", "MASTER_")
    env = {name: text for name, text in os.environ.items() if not name.startswith(hidden)} | environment
    command = [sys.executable, str(ROOT / "stages" / "launch.py"), *value.split(), "stage.py"]
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, timeout=120)
    ranks = [json.loads(path.read_text()) for path in sorted(checkout.glob("rank-*.json"))]
    return ranks, done


@pytest.mark.parametrize(
    ("value", "world"),
    [
        ("auto", 2),
        ("python", 1),
        (sys.executable, 1),
        (f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2", 2),
        ("torchrun --standalone --nproc-per-node 2", 2),
    ],
)
def test_real_launchers(tmp_path, value, world):
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    ranks, done = started(tmp_path, value, PATH=path, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert ranks == [[rank, world, float(world)] for rank in range(world)]


def test_a_program_that_is_missing_is_named(tmp_path):
    ranks, done = started(tmp_path, "/opt/none/torchrun --nproc-per-node 2")
    assert ranks == [] and done.returncode == 1
    assert done.stderr == (
        "stage: error: launch: no program '/opt/none/torchrun'; install it, give its whole path, or set "
        "`launch: auto`\n"
    )


def test_wrong_parameters_end_as_in_the_stage_itself(tmp_path):
    params_files.write(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("seed: 7", "seed: seven", 1))
    command = [sys.executable, str(ROOT / "stages" / "launch.py"), "auto", "stage.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("stage: error: params.yaml:") and "seed" in done.stderr


@pytest.fixture
def slurm(tmp_path):
    """SLURM_CONF of a cluster of this machine, whose controller and daemon run for the test."""
    missing = [name for name in ("slurmctld", "slurmd", "munged") if not shutil.which(name, path="/usr/sbin")]
    if missing or os.geteuid():
        pytest.skip(f"{', '.join(missing) or 'root'} is not here: `launch: srun` was not tried on Slurm")
    host, state = os.uname().nodename.split(".")[0], tmp_path / "slurm"
    state.mkdir()
    (state / "slurm.conf").write_text(
        f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={state}/munge.socket
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation={state}
SlurmdSpoolDir={state}/spool
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""
    )
    (state / "munge.key").write_bytes(os.urandom(128))
    (state / "munge.key").chmod(0o400)
    conf = str(state / "slurm.conf")
    socket, key, log, pid, seed = (f"{state}/munge.{end}" for end in ("socket", "key", "log", "pid", "seed"))
    munged = ["munged", "--foreground", "--force", f"--socket={socket}", f"--key-file={key}"]
    munged += [f"--log-file={log}", f"--pid-file={pid}", f"--seed-file={seed}"]
    commands = [munged, ["slurmctld", "-D", "-f", conf], ["slurmd", "-D", "-f", conf, "-N", host]]
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    daemons = []
    for words in commands:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        daemons.append(subprocess.Popen(words, env=os.environ | {"PATH": path, "SLURM_CONF": conf}, **quiet))
        time.sleep(1)
    yield conf
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait(20)


def test_srun_starts_the_ranks(tmp_path, slurm):
    ranks, done = started(tmp_path, "srun --ntasks 2 --overcommit", SLURM_CONF=slurm)
    assert done.returncode == 0, done.stderr
    assert ranks == [[0, 2, 2.0], [1, 2, 2.0]]
