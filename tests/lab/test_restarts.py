"""Row 15 of the fault battery: a restart loses no request; a server that drops what is inside is caught."""

import contextlib
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from sightline_lab.faults import served_bundle
from sightline_lab.faults.battery import Broken, Case
from sightline_lab.faults.promises import PROMISES
from sightline_lab.load_test import server_process
from tests.support import command_line, serving

SEED, FAST, SLOW = 7, 0, 1  # numbers of cases: of a server that answers at once, and in a second
DROPS = {
    "waits for nobody": """
async def on_tick(self, counter):
    self.should_exit = self._middleware.draining
    return await uvicorn.Server.on_tick(self, counter)
server.Server.on_tick = on_tick
""",
    "ends at once": """
server.Server.handle_exit = lambda self, number, frame: os._exit(0)
""",
}
SCRIPT = """
import os, sys
import uvicorn
from sightline.serve import server
from sightline_lab.faults import served_bundle
{}
served_bundle.main(*sys.argv[1:])
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory, tiny_graphs):
    """A folder that holds models/bundle."""
    here = tmp_path_factory.mktemp("checkout")
    (here / "models").mkdir()
    serving.build_bundle(here / "models", tiny_graphs)
    return here


def restarted(case: int) -> int:
    return PROMISES[15].case(Case(case, SEED, Path()))


def test_a_restart_while_answers_take_long_loses_nothing(here, monkeypatch):
    monkeypatch.chdir(here)
    assert restarted(SLOW) == 1


@pytest.mark.full  # on a busy machine the answer may be out before the signal is in
@pytest.mark.parametrize(("how", "case"), [("waits for nobody", SLOW), ("ends at once", FAST)])
def test_a_server_that_drops_what_is_inside_is_caught(here, tmp_path, monkeypatch, how, case):
    script, real = tmp_path / "drops.py", server_process.server
    script.write_text(SCRIPT.format(DROPS[how]))
    monkeypatch.setattr(
        served_bundle.server_process, "server", lambda command, *more: real([script, *command[2:]], *more)
    )
    monkeypatch.chdir(here)
    with pytest.raises(
        Broken, match=r"requests that were sent before SIGTERM had no answer|clients had (?:half|500)"
    ):
        restarted(case)


def test_an_ended_battery_ends_its_server(here):
    """SIGTERM, as a job's end sends it; two files make the folder a checkout."""
    for name in ("params.yaml", "dvc.yaml"):
        (here / name).touch()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": command_line.environment()}
    command = command_line.command("lab", "faults", 13, "--cases", 99)
    with subprocess.Popen(command, cwd=here, **pipes) as battery:
        ours, servers = psutil.Process(battery.pid), []
        while not servers:
            assert battery.poll() is None, battery.stdout.read()
            time.sleep(0.1)
            with contextlib.suppress(psutil.NoSuchProcess):  # a child that just ended
                servers = [each for each in ours.children() if "served_bundle" in str(each.cmdline())]
        time.sleep(1)  # until it is in the hands of what ends it
        battery.terminate()
        battery.communicate(timeout=120)
    ended, alive = psutil.wait_procs(servers, timeout=30)
    assert ended and not alive and battery.returncode != 0
