"""A profiled training: the same bits, a trace with the parts of a step, shares that add up. Real trainings of
the toy task, alone and in two processes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.core import profile_page, runtime, source_digest, trace_events
from sightline.train import checkpoint, step_profiler
from sightline.train.step_profiler import PARTS, REST, STEP, WAITING, StepTrace
from sightline_lab.faults import toy_training

ROOT = Path(__file__).parents[2]
ALONE = runtime.Runtime("cpu", 0, 1, 1)
STEPS, PHASE = 40, 13  # the tower trains from step 13 on
FILES = {profile_page.PAGE, profile_page.FIGURES, trace_events.FILE}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(source_digest, "digest", lambda *starts: "")


def train(out, steps=STEPS, task=None, **changes):
    """What it writes, but for the profile; and the profile's folder."""
    task = task or toy_training.make(ALONE, steps)
    toy_training.train(ALONE, Path(out), task, **changes)
    folder = Path(out) / "curves" / "profile"
    written = {name: data for name, data in toy_training.files(Path(out)).items() if "profile" not in name}
    return written, folder


def recorded_steps(folder):
    events = trace_events.read(folder / trace_events.FILE)
    return [event["name"] for event in events if event["name"].startswith(STEP)]


def test_profiling_changes_no_bit_of_what_a_training_writes():
    plain, nothing = train("plain", profile_steps=0)
    profiled, folder = train("profiled", profile_steps=4)
    assert profiled == plain and len(plain) > 5
    assert not nothing.exists() and {path.name for path in folder.iterdir()} == FILES


def test_the_trace_has_the_parts_of_every_step_and_they_add_up():
    _, folder = train("out", profile_steps=4)
    first = PHASE + step_profiler.WARMUP  # of the last phase, in which all trains
    assert recorded_steps(folder) == [f"{STEP}{first + number}" for number in range(4)]
    trace = StepTrace(trace_events.read(folder / trace_events.FILE))
    for part in ("data", "forward", "backward", "optimizer", "log"):
        assert trace.parts[part][0] == 4, part
    assert trace.parts["evaluate"][0] == trace.parts["checkpoint"][0] == 1  # after step 20
    assert {*trace.parts} == {*PARTS, WAITING, REST} and all(us >= 0 for _, us in trace.parts.values())
    assert sum(us for _, us in trace.parts.values()) == pytest.approx(trace.us)
    assert sum(us for _, _, us in trace.operators) == pytest.approx(trace.us, rel=1e-6)
    calls = {name: count for name, count, _ in trace.operators}
    assert calls["aten::addmm"] == 4 * 2 + 2  # two layers a step, and the evaluation
    assert trace.memory[step_profiler.PROCESSOR] > 0


def test_the_figures_are_those_of_the_trace_and_the_page_needs_no_network():
    _, folder = train("out", profile_steps=3)
    figures = json.loads((folder / profile_page.FIGURES).read_text())
    trace = StepTrace(trace_events.read(folder / trace_events.FILE))
    assert figures["what"] == "toy: 3 training steps"
    assert figures["ms"] == pytest.approx(trace.us / 1e3, abs=6e-5)  # four decimals are written
    for table in ("phases", "operators"):
        assert sum(row["ms"] for row in figures[table]) == pytest.approx(figures["ms"], rel=1e-3)
        assert sum(row["share"] for row in figures[table]) == pytest.approx(1.0, abs=0.01)
    assert figures["memory"]["tensors of the accelerator, most"] is None
    page = (folder / profile_page.PAGE).read_text()
    assert "://" not in page and "<script" not in page and not re.search(r"(?:src|href)=", page)
    for row in figures["phases"]:
        assert row["name"] in page
    assert "aten::addmm" in page and figures["machine"]["processor"] in page
    host = os.uname().nodename
    assert host not in page.split() and f'"{host}"' not in json.dumps(
        trace_events.read(folder / trace_events.FILE)
    )


class Killed(Exception):
    pass


def dying_at(step):
    task = toy_training.make(ALONE, STEPS)
    load = task.load

    def fatal(number):
        if number == step:
            raise Killed
        return load(number)

    task.load = fatal
    return task


def test_a_training_that_dies_while_it_is_profiled_goes_on_and_profiles_what_is_left(monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    plain, _ = train("plain")
    with pytest.raises(Killed):
        train("out", task=dying_at(PHASE + step_profiler.WARMUP + 2), profile_steps=6)
    assert not Path("out/curves/profile").exists()
    continued, folder = train("out", profile_steps=6)
    assert continued == plain
    assert recorded_steps(folder) == [f"{STEP}{step_profiler.WARMUP + number}" for number in range(6)]


def test_a_profiled_training_goes_on_where_one_without_a_profile_died(monkeypatch):
    """And the other way round: `profile_steps` decides no bit, so it is no reason to start anew."""
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    for before, after in ((0, 3), (3, 0)):
        with pytest.raises(Killed):
            train("out", task=dying_at(30), profile_steps=before)
        task = toy_training.make(ALONE, STEPS)
        train("out", task=task, profile_steps=after)
        assert len(task.seen) == STEPS - 30


@pytest.mark.parametrize(("steps", "recorded"), [(3, 1), (6, 3), (9, 5)])
def test_a_short_training_profiles_what_it_has(steps, recorded):
    """Its last phase begins after a third; where more was asked for than that has, one step warms up."""
    _, folder = train("out", steps, profile_steps=100)
    assert len(recorded_steps(folder)) == recorded


def test_one_step_is_too_few_and_said(capsys):
    _, folder = train("out", 1, profile_steps=5)
    assert not folder.exists()
    assert "toy is not profiled: of its steps 1 are left" in capsys.readouterr().err


SCRIPT = """
import sys
from pathlib import Path
from sightline.core import runtime
from sightline_lab.faults import toy_training
here = runtime.start(threads=1, seed=3)
toy_training.train(here, Path(sys.argv[1]), toy_training.make(here, 40, 0.02 * here.rank),
                   profile_steps=int(sys.argv[2]))
runtime.finish(here)
"""


def in_two_processes(out, count):
    Path("train.py").write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, "train.py", out, str(count)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return toy_training.files(Path(out))


def test_two_processes_are_profiled_and_change_no_bit():
    """The second one sleeps 20 ms over every batch."""
    plain, profiled = in_two_processes("plain", 0), in_two_processes("out", 3)
    assert {name: data for name, data in profiled.items() if "profile" not in name} == plain
    figures = json.loads(profiled["curves/profile/profile.json"])
    (table,) = figures["tables"]
    first, second = (dict(zip(table["head"], row, strict=True)) for row in table["rows"])
    assert second["data"] >= 3 * 20 and first[WAITING] > 0 and second[WAITING] > 0
    of_first = {row["name"]: row["ms"] for row in figures["phases"]}
    assert of_first == pytest.approx({name: ms for name, ms in first.items() if name and ms}, abs=0.01)
    assert sum(of_first.values()) == pytest.approx(figures["ms"], rel=1e-3)
    assert figures["machine"]["processes"] == "2"


def event(kind, name, start, end, thread=1, **args):
    return {
        "ph": "X",
        "cat": kind,
        "name": name,
        "ts": start,
        "dur": end - start,
        "tid": thread,
        "args": args,
    }


def test_waiting_for_others_is_taken_out_of_the_part_that_waits():
    """An exchange that goes on beside an operator is no waiting; the operator that asks for one is none."""
    trace = StepTrace([
        event("user_annotation", f"{STEP}7", 0, 100), event("user_annotation", "data", 0, 20),
        event("user_annotation", "forward", 20, 60), event("cpu_op", "aten::mm", 25, 35),
        event("cpu_op", "c10d::allgather_", 36, 40), event("user_annotation", "gloo:all_gather", 30, 50, 2),
        event("user_annotation", "backward", 60, 90), event("cpu_op", "aten::mm", 60, 80),
        event("user_annotation", "gloo:all_reduce", 70, 85, 2),
        event("user_annotation", "gloo:all_reduce", 100, 140, 2),  # after the steps
    ])  # fmt: skip
    assert {name: us for name, (_, us) in trace.parts.items() if us} == {
        "data": 20, "forward": 40 - 15, "backward": 30 - 5, WAITING: 20, REST: 10,
    }  # fmt: skip
    assert dict((name, us) for name, _, us in trace.operators)["aten::mm"] == 30
    assert sum(us for _, _, us in trace.operators) == trace.us == 100


def test_kernels_of_a_device_count_as_computing_and_have_their_table():
    """By a trace as a device gives it, written by hand: none was at hand."""
    trace = StepTrace([
        event("user_annotation", f"{STEP}7", 0, 100), event("user_annotation", "backward", 10, 90),
        event("kernel", "gemm", 20, 60, 7), event("kernel", "ncclDevKernel_AllReduce", 40, 80, 8),
        {"ph": "i", "name": "[memory]", "tid": 1, "args": {"Device Type": 1, "Total Allocated": 4096}},
    ])  # fmt: skip
    assert trace.parts[WAITING][1] == 20 and trace.parts["backward"][1] == 60
    made = step_profiler.profile("toy", trace, [], ALONE)
    (table,) = made.tables
    assert table.rows == [("gemm", 1, 0.04), ("ncclDevKernel_AllReduce", 1, 0.04)]


def test_a_training_that_is_stopped_while_it_is_profiled_ends_as_usual(tmp_path):
    code = SCRIPT.replace("0.02 * here.rank", "0.1").replace("int(sys.argv[2])", "30")
    Path("train.py").write_text(code)
    env = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "train.py", "out"], env=env, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("20/40"):  # within the profiled steps
            process.send_signal(signal.SIGTERM)
            break
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not (tmp_path / "out/curves/profile").exists()
