"""The wheel carries dvc.yaml, the stages and the profiles, of which `sightline init` makes a repository, and the
environments of `sightline serve`; the rest of the package is declared in pyproject.toml."""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGED = runpy.run_path(str(ROOT / "src/sightline/core/packaged_project.py"))


class BuildWithProject(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # an editable install reads them from the checkout
        target = Path(self.build_lib) / "sightline" / PACKAGED["CARRIED"].name
        shutil.rmtree(target, ignore_errors=True)
        for name in PACKAGED["files"](ROOT):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


setup(cmdclass={"build_py": BuildWithProject})
