import subprocess
import sys

import pytest

from sightline.core.folder_lock import folder_lock

HOLD = """
import sys
from sightline.core.folder_lock import folder_lock
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
TAKE = """
import sys
from sightline.core.folder_lock import folder_lock
with folder_lock(sys.argv[1]):
    print("taken", flush=True)
"""


@pytest.fixture
def start():
    started = []

    def run(code, folder):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", code, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_waits_until_the_holder_is_killed(start, tmp_path):
    holder = start(HOLD, tmp_path)
    assert holder.stdout.readline() == "held\n"
    second = start(TAKE, tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1.0)
    holder.kill()
    assert second.communicate(timeout=30)[0] == "taken\n"
    assert not list(tmp_path.iterdir())


def test_an_error_inside_frees_the_folder(start, tmp_path):
    with pytest.raises(KeyError), folder_lock(tmp_path):
        raise KeyError
    assert start(TAKE, tmp_path).communicate(timeout=30)[0] == "taken\n"
