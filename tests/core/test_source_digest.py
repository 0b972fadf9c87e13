"""The code that decides a result, on a small package by hand and on the real one."""

import pytest

from sightline.core.source_digest import PACKAGE, closure, digest

FILES = {
    "sightline/__init__.py": "",
    "sightline/core/registry.py": "",
    "sightline/train/loop.py": "from sightline.models import net\nimport numpy\n",
    "sightline/train/align.py": "from sightline.core import registry\nregistry.load('train/losses', name)\n",
    "sightline/train/losses/hinge.py": "import sightline.core.units\n",
    "sightline/models/net.py": "def f():\n    from sightline.core.units import x\n",
    "sightline/core/units.py": "from sightline.models import net\n",
    "sightline/core/other.py": "",
    "lab/study.py": "from lab import tables\nfrom sightline.models.net import f\n",
    "lab/tables.py": "",
    "numpy/__init__.py": "",
    "numpy/linalg.py": "",
}


@pytest.fixture
def src(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def reached(src, start):
    files, plugins = closure(src / start, src)
    return {file.relative_to(src).as_posix() for file in files}, plugins


def test_what_code_reaches_by_hand(src):
    """Imports inside functions and circles are followed; other packages and what nobody imports are not."""
    assert reached(src, "sightline/train/loop.py") == (
        {"sightline/models/net.py", "sightline/core/units.py"}, set()
    )  # fmt: skip
    assert reached(src, "sightline/train/align.py") == (
        {
            "sightline/core/registry.py", "sightline/train/losses/hinge.py", "sightline/core/units.py",
            "sightline/models/net.py",
        },
        {"train/losses"},
    )  # fmt: skip
    assert reached(src, "lab/study.py")[0] == {
        "lab/tables.py", "sightline/models/net.py", "sightline/core/units.py"
    }  # fmt: skip


def test_the_digest_changes_with_the_code_that_is_reached_and_with_no_other(src):
    before = digest(src / "sightline/train", src=src)
    for name, changes in (
        ("sightline/core/other.py", False), ("sightline/__init__.py", False), ("numpy/linalg.py", False),
        ("sightline/core/units.py", True), ("sightline/train/losses/hinge.py", True),
        ("sightline/train/loop.py", True),
    ):  # fmt: skip
        (src / name).write_text(FILES[name] + "y = 1\n")
        assert (digest(src / "sightline/train", src=src) != before) == changes, name
        (src / name).write_text(FILES[name])
    assert digest(src / "sightline/train", src=src) == before


def test_training_reaches_its_losses_models_and_the_published_gate():
    files, plugins = closure(PACKAGE / "train" / "align.py")
    assert {PACKAGE / "train/losses/info_nce.py", PACKAGE / "spin/gate.py"} <= files
    assert "train/losses" in plugins and not any("serve" in file.parts for file in files)
