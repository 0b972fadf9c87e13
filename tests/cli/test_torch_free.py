"""What runs without torch: every room but for the modules named here, and the commands that use a bundle."""

import subprocess

import pytest
from PIL import Image

from tests.support import command_line, tiny

# These work on the PyTorch model itself. `models`, `train` and `compress` are about nothing else.
WITH_TORCH = {
    "spin.huggingface", "inference.torch_engine", "inference.torch_session",
    "inference.block_generation", "explain.gradients",
    "inference.transformers_model", "inference.image_text_model", "inference.image_text_vision",
    "export.convert_model", "export.export_variants", "export.fused_attention", "export.graph_modules",
    "export.onnx_graphs",
}  # fmt: skip
# These need the extra `tune`; the command imports them once that is there.
WITH_OPTUNA = {"cli.tuning.trials", "cli.tuning.tuning_loop", "cli.tuning.tuning_page"}
ROOMS = ("core", "data", "spin", "inference", "export", "search", "evaluate", "explain", "serve", "cli")
PACKAGE = command_line.ROOT / "src" / "sightline"


def modules(room: str) -> list[str]:
    files = sorted(path.relative_to(PACKAGE).with_suffix("") for path in (PACKAGE / room).rglob("*.py"))
    names = [".".join(path.parts).removesuffix(".__init__") for path in files]
    return [f"sightline.{name}" for name in names if name not in WITH_TORCH | WITH_OPTUNA]


def test_every_exception_is_a_module():
    assert all((PACKAGE / f"{name.replace('.', '/')}.py").exists() for name in WITH_TORCH | WITH_OPTUNA)


@pytest.mark.parametrize("room", [*ROOMS, "models"])
def test_a_room_is_imported_without_torch(room):
    names = ["sightline.models"] if room == "models" else modules(room)
    assert len(names) > 1 or room == "models"
    code = f"import {', '.join(names)}\nassert 'matplotlib' not in sys.modules"  # it costs half a second
    done = subprocess.run(
        command_line.python(code, torch=False), env=command_line.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_is_hidden_cannot_be_imported():
    done = subprocess.run(command_line.python("import torch", torch=False), capture_output=True, text=True)
    assert done.returncode and "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "a.png", "Is there a cup?"], ["ask"], ["search", "a red ball"], ["search", "a.png"],
        ["index", "items.csv", "-o", "mine"], ["doctor"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_command_runs_without_torch(bundle, tmp_path, words):
    Image.fromarray(tiny.pictures(1)[0]).save(tmp_path / "a.png")
    (tmp_path / "items.csv").write_text("title,description,image_url,id\nRed ball,A red ball,a.png,1\n")
    assert command_line.run(tmp_path, *words, "--bundle", bundle, torch=False, code=0).stdout
