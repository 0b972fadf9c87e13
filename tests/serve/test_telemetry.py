"""What dependencies collect is neither written nor sent: in an empty home, without a CI variable."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support import tiny

ROOT = Path(__file__).resolve().parents[2]
CLI = "import sys; from sightline.cli.main import main; main()"
STAGES = "import runpy, pathlib; [runpy.run_path(str(s)) for s in sorted(pathlib.Path('{}').glob('*.py'))]"
# Loaded by Python before anything else: keeps what is looked up and connected to, in every process.
RECORD = """
import json, os, sys
def hook(event, values):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        address = values[1] if event != "socket.getaddrinfo" else values[:2]
        with open(os.environ["RECORDED"], "a") as file:
            file.write(json.dumps(str(address)) + "\\n")
sys.addaudithook(hook)
"""


@pytest.fixture
def run(tmp_path):
    """Runs Python code in an empty home; returns the files left there and the addresses asked for."""
    home, hooks = tmp_path / "home", tmp_path / "hooks"
    home.mkdir(), hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(RECORD, encoding="utf-8")

    def call(code, *words, package=ROOT / "src"):
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{hooks}{os.pathsep}{package}", "HOME": str(home),
               "RECORDED": str(tmp_path / "recorded"), "MPLCONFIGDIR": str(tmp_path / "mpl")}  # fmt: skip
        command = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        recorded = tmp_path / "recorded"
        lines = recorded.read_text(encoding="utf-8").splitlines() if recorded.exists() else []
        files = [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]
        return files, [json.loads(line) for line in lines]

    return call


def test_the_pinned_onnx_runtime_would_leave_files(run):
    files, _ = run("import onnxruntime")
    assert any("onnxruntime" in name for name in files)  # else the tests below could not fail


def test_the_recorder_sees_a_connection(run):
    code = "import socket; s = socket.socket(); s.settimeout(1); s.connect_ex(('127.0.0.1', 9))"
    assert run(code)[1] == ["('127.0.0.1', 9)"]


@pytest.mark.parametrize("package", ["sightline", "sightline_lab", "sightline.inference.session"])
def test_a_library_user_leaves_nothing(run, package):
    assert run(f"import {package}, onnxruntime") == ([], [])


@pytest.mark.parametrize("words", [["search", "a red ball", "--k", 1], ["ask", "a.png", "Is there a cup?"]])
def test_a_command_leaves_nothing(run, bundle, tmp_path, words):
    Image.fromarray(tiny.pictures(1)[0]).save(tmp_path / "a.png")
    assert run(CLI, *words, "--bundle", bundle) == ([], [])


def test_an_index_leaves_nothing(run, bundle, tmp_path):
    (tmp_path / "items.csv").write_text("title,description,image_url,id\nRed ball,A red ball,,1\n")
    assert run(CLI, "index", "items.csv", "-o", "mine", "--bundle", bundle) == ([], [])


def test_the_page_leaves_nothing(run):
    assert run("import sightline.serve.ui.ui_layout") == ([], [])


# In place of the package by which OpenVINO tells that it was imported: leaves a file, sends nothing.
TELLS = """
import pathlib
class Telemetry:
    def __init__(self, *given, **named):
        (pathlib.Path.home() / "told").touch()
    def send_event(self, *given, **named):
        pass
"""


def test_openvino_tells_nobody_that_it_was_imported(run, tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed (requirements-openvino.in)")
    backend = tmp_path / "hooks" / "openvino_telemetry" / "backend"
    backend.mkdir(parents=True)
    (backend.parent / "__init__.py").write_text(TELLS)
    (backend / "__init__.py").write_text("")
    (backend / "backend_ga4.py").write_text("")
    assert run("import sightline, openvino") == ([], [])
    code = "from sightline.inference import openvino_graph; assert openvino_graph.lacking('f32') is None"
    assert run(f"{code}; import openvino") == ([], [])
    assert run("import openvino") == (["told"], [])  # else the lines above could not fail


def test_stages_and_export_leave_nothing(run):
    code = STAGES.format(ROOT / "stages")
    assert run(f"{code}; import sightline.export.export_variants, onnxruntime") == ([], [])


def test_the_tests_themselves_are_silent():
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_image_is_silent():
    assert "ORT_DISABLE_TELEMETRY=1" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
