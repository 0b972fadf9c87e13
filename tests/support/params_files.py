"""params.yaml, profiles/ and resolved.yaml for a test's own checkout."""

import shutil
from pathlib import Path
from typing import Any

from sightline.core.params import edit, resolved
from sightline.core.params.loader import Params, load_params

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, profile: str = "smoke", leaves: dict[str, Any] | None = None) -> Params:
    """The project's params in `folder` with other leaves, as `-S` would set them; resolved, too."""
    shutil.copytree(ROOT / "profiles", folder / "profiles", dirs_exist_ok=True)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    edit.fill(folder / "params.yaml", {"profile": profile, **(leaves or {})})
    params = load_params(folder / "params.yaml")
    resolved.write(params, folder)
    return params
