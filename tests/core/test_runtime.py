"""Processes: exit codes, signals, orphans, ranks, cost. Each case is a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sightline.core import launcher_watchdog, runtime
from tests.support import params_files

ROOT = Path(__file__).resolve().parents[2]
HEAD = f"import sys, time\nfrom pathlib import Path\nsys.path.insert(0, {str(ROOT / 'src')!r})\n"
HEAD += "from sightline.core import artifacts, runtime\n"


@pytest.fixture
def checkout(tmp_path):
    params_files.write(tmp_path)
    return tmp_path


def script(checkout: Path, body: str) -> Path:
    path = checkout / "work.py"
    path.write_text(HEAD + body, encoding="utf-8")
    return path


def clean_env(**more: str) -> dict[str, str]:
    hidden = ("DVC_", "RANK", "WORLD_SIZE", "LOCAL_", "TORCHELASTIC", "MASTER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | more


def launch(checkout: Path, body: str, *before: str, **env: str) -> subprocess.Popen:
    command = [*before, sys.executable, str(script(checkout, body))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=checkout, env=clean_env(**env), **pipes)


def stage(checkout: Path, body: str, **env: str) -> tuple[int, str, str]:
    process = launch(checkout, f"with runtime.stage('toy') as params:\n    {body}\n", **env)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def wait_for(path: Path, seconds: float = 60) -> str:
    limit = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < limit, f"{path} did not appear"
        time.sleep(0.05)
    return path.read_text()


def test_a_stage_gets_params_and_leaves_its_cost(checkout):
    code, out, err = stage(checkout, "runtime.log(params.profile + ' ' + params.data.source)")
    assert (code, out, err) == (0, "toy: smoke scenes\n", "")
    stage(checkout, "pass")
    costs = json.loads((checkout / ".resume/cost/smoke.json").read_text())
    assert list(costs) == ["toy"]
    on_device = {"device_seconds": 0.0, "device_peak_mib": 0}  # of a stage that was given no accelerator
    assert costs["toy"].keys() == {"core_seconds", "wall_seconds", "peak_mib", *on_device}
    assert costs["toy"].items() >= on_device.items()
    # No upper bound: Linux lets a child begin with the peak of the process that forked it, here the suite's.
    assert costs["toy"]["core_seconds"] > 0 and costs["toy"]["peak_mib"] > 10


def test_dvc_root_holds_the_scratch(checkout, tmp_path):
    root = tmp_path / "main"
    root.mkdir()
    stage(checkout, "pass", DVC_ROOT=str(root))
    assert (root / ".resume/cost/smoke.json").exists() and not (checkout / ".resume").exists()


@pytest.mark.parametrize(
    ("body", "code", "fragment"),
    [
        ("raise ValueError('no such\\nsplit')", 1, "no such split (traceback: .resume/errors/toy.txt)"),
        ("artifacts.load(Path('models/clip'), 'clip')", 1, "error: models/clip: expected a complete"),
        ("raise OSError(28, 'No space left on device', 'x.bin')", 1, "No space left on device: 'x.bin'"),
        ("raise MemoryError", 1, "toy: error: out of memory"),
        (
            "raise RuntimeError('[/x/gloo/transport/tcp/pair.cc:545] Read error [10.0.0.2]:1: reset')",
            1,
            "another process of the training ended or cannot be reached",
        ),
    ],
)
def test_user_errors_are_one_line(checkout, body, code, fragment):
    got, out, err = stage(checkout, body)
    assert got == code and out == "" and err.startswith("toy: error: ")
    assert fragment in err and err.count("\n") == 1 and "Traceback" not in err
    assert "Traceback" in (checkout / ".resume/errors/toy.txt").read_text()
    assert not (checkout / ".resume/cost").exists()


def test_a_device_without_memory_names_three_cures(checkout):
    path = checkout / "work.py"
    path.write_text(
        HEAD + "import torch\nwith runtime.stage('align') as params:\n"
        "    raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')\n"
    )
    words = [sys.executable, str(path)]
    done = subprocess.run(words, cwd=checkout, env=clean_env(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "align: error: out of memory; lower align.batch_size or set align.gradient_checkpointing: true or "
        "set align.precision: bf16 (traceback: .resume/errors/align.txt)\n"
    )
    assert "Tried to allocate 2.00 GiB" in (checkout / ".resume/errors/align.txt").read_text()


def test_the_cpu_without_memory_is_told_as_that(checkout):
    code, _, err = stage(checkout, "import torch; torch.empty(2**50, dtype=torch.uint8)")
    assert code == 1 and err.startswith("toy: error: out of memory; use a device with more (traceback: ")


def test_a_bad_params_file_ends_with_2_before_the_body(checkout):
    (checkout / "params.yaml").write_text("lr: fast\n")
    code, out, err = stage(checkout, "print('ran')")
    assert (code, out) == (2, "") and err.startswith("toy: error: params.yaml:1: ") and err.count("\n") == 1


def test_an_unexpected_error_keeps_its_traceback(checkout):
    code, _, err = stage(checkout, "raise RuntimeError('a bug')")
    assert code == 1 and "Traceback" in err and "a bug" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_stage_that_does_not_ask_and_leaves_no_rubbish(checkout, number, code):
    body = (
        "with runtime.stage('toy') as params, artifacts.create(Path('out/toy'), 'toy', {}) as filling:\n"
        "    Path('ready').write_text('yes')\n"
        "    time.sleep(60)\n"
    )
    process = launch(checkout, body)
    wait_for(checkout / "ready")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (code, "", "")
    assert list((checkout / "out").iterdir()) == []


LOOP = """
here = runtime.Runtime("cpu", 0, 1, 1)
with runtime.stage("toy") as params:
    for step in range(10**6):
        Path("ready").write_text("yes")
        time.sleep({step_s})
        if runtime.stop_requested(here):
            time.sleep(0.5)
            Path("saved").write_text(str(step))
            raise runtime.Stopped
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("times", [1, 2])
def test_a_loop_that_asks_saves_its_state_first(checkout, number, code, times):
    process = launch(checkout, LOOP.format(step_s=0.02))
    wait_for(checkout / "ready")
    time.sleep(0.2)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code and err == ""
    assert (checkout / "saved").exists()


def test_a_loop_that_stopped_asking_ends_all_the_same(checkout):
    body = "runtime.NOTICE_S = 0.3\nruntime.stop_requested(runtime.Runtime('cpu', 0, 1, 1))\n"
    process = launch(checkout, body + LOOP.format(step_s=30))
    wait_for(checkout / "ready")
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 143 and not (checkout / "saved").exists()


# A stand-in with DVC's process name: it runs its command through a shell and waits.
DVC = "import subprocess, sys\nsubprocess.call(sys.argv[1] + '; true', shell=True)\n"


@pytest.mark.parametrize("asks", [False, True])
def test_no_orphan_survives_its_launcher(checkout, asks):
    (checkout / "dvc").write_text(DVC)
    body = "import os, subprocess\nPath('pid').write_text(str(os.getpid()))\n"
    if asks:
        body += LOOP.format(step_s=0.05)
    else:
        body += "with runtime.stage('toy') as params:\n    child = subprocess.Popen(['sleep', '300'])\n"
        body += "    Path('ready').write_text(str(child.pid))\n    time.sleep(300)\n"
    command = f"{sys.executable} {script(checkout, body)}"
    launcher = subprocess.Popen([sys.executable, "dvc", command], cwd=checkout, env=clean_env())
    ready = wait_for(checkout / "ready")
    processes = [psutil.Process(int(wait_for(checkout / "pid")))]
    processes += [] if asks else [psutil.Process(int(ready))]
    time.sleep(0.3)
    launcher.kill()
    began = time.monotonic()
    # Unreaped on purpose: the guard must take the zombie for dead.
    _, left = psutil.wait_procs(processes, timeout=20)
    assert not left, f"alive {time.monotonic() - began:.1f} s after their launcher"
    launcher.wait()
    assert (checkout / "saved").exists() == asks


def test_a_stage_started_by_hand_outlives_its_shell(checkout):
    body = "import os\nwith runtime.stage('toy'):\n    Path('pid').write_text(str(os.getpid()))\n"
    body += "    time.sleep(2)\n    Path('done').write_text('yes')\n"
    shell = launch(checkout, body, "sh", "-c", '"$@"; true', "sh")
    wait_for(checkout / "pid")
    shell.kill()
    assert wait_for(checkout / "done", seconds=10) == "yes"


RANKED_LOOP = """
import os
with runtime.stage("toy") as params:
    here = runtime.start(1, params.seed)
    while not runtime.stop_requested(here):
        Path(f"ready{here.rank}").write_text(str(os.getpid()))
        time.sleep(0.05)
    Path("saved").write_text("yes")
    raise runtime.Stopped
"""


@pytest.mark.full
def test_no_rank_survives_a_killed_dvc(checkout):
    """The real chain: dvc, a shell, torchrun, two ranks."""
    script(checkout, RANKED_LOOP)
    command = " ".join([sys.executable, *TORCHRUN, "work.py"])
    stages = {"stages": {"toy": {"cmd": command, "deps": ["work.py"], "outs": ["saved"]}}}
    (checkout / "dvc.yaml").write_text(json.dumps(stages))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=checkout, env=clean_env(), check=True)
    launcher = subprocess.Popen([*dvc, "repro"], cwd=checkout, env=clean_env())
    ranks = [psutil.Process(int(wait_for(checkout / f"ready{rank}"))) for rank in (0, 1)]
    between = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    _, left = psutil.wait_procs(ranks, timeout=20)
    assert not left, left
    # torchrun writes nothing of ours; on busy cores it takes a while to report its ranks and go.
    _, left = psutil.wait_procs(between, timeout=30)
    assert not left, left
    launcher.wait()
    assert (checkout / "saved").exists()


class Ancestor:
    def __init__(self, *command: str, pid: int = 7):
        self.command, self.pid = list(command), pid

    def cmdline(self) -> list[str]:
        return self.command


@pytest.mark.parametrize(
    ("chain", "in_dvc", "watched"),
    [
        ([["/bin/sh", "-c", "x"], ["python", "/venv/bin/dvc", "repro"], ["bash"]], True, 2),
        ([["python", "-m", "torch.distributed.run", "x"], ["sh"], ["python", "-m", "dvc", "exp"]], True, 3),
        ([["python", "/venv/bin/torchrun", "x"], ["bash"], ["tmux"]], False, 1),
        ([["python", "-u", "-m", "torch.distributed.run"], ["zsh"]], False, 1),
        ([["/bin/sh", "-c", "x"], ["python", "notebook"], ["jupyter"]], True, 2),
        ([["python", "notebook"], ["jupyter"]], True, 1),
        ([["bash"], ["tmux"]], False, 0),
        ([["vim", "notes-on-dvc"], ["bash"]], False, 0),
        ([[], ["bash"]], False, 0),
        ([], True, 0),
    ],
)
def test_the_watched_launchers(chain, in_dvc, watched):
    ancestors = [Ancestor(*command) for command in chain]
    assert launcher_watchdog.launchers(ancestors, in_dvc) == ancestors[:watched]


@pytest.mark.parametrize(
    ("chain", "dead"),
    [
        ([["/bin/sh", "-c", "x"], ["/sbin/init"]], True),
        (
            [["python", "-m", "torch.distributed.run", "x"], ["sh"], ["/usr/lib/systemd/systemd", "--user"]],
            True,
        ),
        ([["env", "A=1", "python"], ["bash"]], True),  # of a container that runs a shell
        ([["any-program"]], True),
        ([["sh"], ["python", "dvc", "repro"], ["bash"]], False),
        ([["sh"], ["python", "notebook"], ["/sbin/init"]], False),  # DVC as a library
        ([["sh"], ["python", "service.py"]], False),  # as a library of a container's program
        ([], False),
    ],
)
def test_a_stage_whose_dvc_died_first_is_an_orphan(chain, dead):
    last = len(chain) - 1
    ancestors = [Ancestor(*command, pid=1 if at == last else 7) for at, command in enumerate(chain)]
    assert launcher_watchdog.orphaned(ancestors, True) == dead
    assert not launcher_watchdog.orphaned(ancestors, False)


def test_a_stage_ends_where_its_dvc_died_before_it_began(checkout):
    """DVC is killed while Python starts, before the stage can know it."""
    if launcher_watchdog.orphaned([psutil.Process(1)], True) is False:
        pytest.skip("process 1 is a Python program here: an orphan cannot be told from a stage of its")
    (checkout / "dvc").write_text(DVC)
    body = "import os\nPath('pid').write_text(str(os.getpid()))\n"
    body += "while not Path('go').exists(): time.sleep(0.01)\n"
    body += "with runtime.stage('toy'):\n    Path('begun').touch()\n    time.sleep(300)\n"
    command = f"{sys.executable} {script(checkout, body)}"
    env = clean_env() | {"DVC_STAGE": "toy"}
    launcher = subprocess.Popen([sys.executable, "dvc", command], cwd=checkout, env=env)
    process = psutil.Process(int(wait_for(checkout / "pid")))
    launcher.kill()
    launcher.wait()
    (checkout / "go").touch()
    _, left = psutil.wait_procs([process], timeout=20)
    assert not left and not (checkout / "begun").exists()


RANKS = """
with runtime.stage("toy") as params:
    here = runtime.start(1, params.seed)
    import torch
    total = torch.tensor([here.rank + 1.0])
    torch.distributed.all_reduce(total)
    assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 1
    if here.rank == 1:
        runtime._state.signal = 15
    Path(f"rank{here.rank}").write_text(f"{here.world} {total.item()} {runtime.stop_requested(here)}")
    runtime.log("met")
    runtime.finish(here)
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux")
def test_two_ranks_meet_with_loopback_alone(checkout):
    command = " ".join([sys.executable, *TORCHRUN, str(script(checkout, RANKS))])
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"a network namespace needs root: {probe.stderr.strip()}")
    inside = ["unshare", "-n", "sh", "-c", f"ip link set lo up && {command}"]
    done = subprocess.run(inside, cwd=checkout, env=clean_env(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "toy: met\n"
    # Rank 1 alone was told to stop; both agree.
    assert [(checkout / f"rank{rank}").read_text() for rank in (0, 1)] == ["2 3.0 True"] * 2
    cost = json.loads((checkout / ".resume/cost/smoke.json").read_text())["toy"]
    # Two ranks and their launcher each import torch, so the sum exceeds what one process could spend.
    assert cost["core_seconds"] > 1.0 and cost["peak_mib"] > 200


ON_A_DEVICE = """
from sightline.core.device_usage import DeviceUsage
with runtime.stage("toy") as params:
    here = runtime.start(1, 7)
    now = iter([100.0, 107.5, 109.0])
    # What `start` does where PyTorch sees a device, with a clock and a memory of ours.
    runtime._state.accelerator = DeviceUsage(lambda: (here.rank + 1) * 2**30, lambda: next(now))
    runtime.finish(here)
"""


def test_seconds_and_memory_of_accelerators_are_added_up_over_the_ranks(checkout):
    """The first process holds its device a little longer, until its stage ends."""
    command = [sys.executable, *TORCHRUN, str(script(checkout, ON_A_DEVICE))]
    done = subprocess.run(command, cwd=checkout, env=clean_env(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    cost = json.loads((checkout / ".resume/cost/smoke.json").read_text())["toy"]
    assert cost["device_seconds"] == 7.5 + 9.0 and cost["device_peak_mib"] == 3 * 1024


def test_seeds_are_a_pure_function_of_their_names():
    assert runtime.derive_seed(7, "align", 3) == runtime.derive_seed(7, "align", 3)
    seeds = {runtime.derive_seed(*key) for key in ((7, "a", 1), (7, "a1"), (7, "a", "1"), (8, "a", 1), (7,))}
    assert len(seeds) == 5 and all(0 <= seed < 2**63 for seed in seeds)
    # The first 8 bytes of sha256('[7, "align", 3]'), shifted: any change would change every result.
    assert runtime.derive_seed(7, "align", 3) == 8040288289521248403


def test_resume_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert runtime.resume_dir("align", "0123456789abcdef0123") == tmp_path / ".resume/align/0123456789abcdef"
    monkeypatch.delenv("DVC_ROOT")
    assert runtime.resume_dir("align", "ab") == Path(".resume/align/ab")


def test_precision_auto_is_bf16_only_where_the_processor_multiplies_in_it():
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    native = "bf16" if {"avx512bw", "avx512vl", "avx512dq"} <= set(flags.split()) else "fp32"
    assert runtime.training_precision("auto", "cpu") == native
    assert [runtime.training_precision(name, "cpu") for name in ("fp32", "bf16", "fp16")] == [
        "fp32", "bf16", "fp16",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cuda", "mps", "local_world", "world", "device"),
    [
        (0, False, 1, 1, "cpu"),
        (2, False, 2, 2, "cuda:0"),
        (1, False, 2, 2, "cpu"),  # fewer devices than processes
        (0, True, 1, 1, "mps"),
        (0, True, 2, 2, "cpu"),  # processes cannot exchange tensors of Apple's device
    ],
)
def test_which_device_a_training_takes(monkeypatch, cuda, mps, local_world, world, device):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert runtime._device(0, local_world, world) == device
    assert runtime.training_precision("auto", "mps") == "fp32"
