"""The project's own files that a user's repository is made of or reads: dvc.yaml, stages, profiles, deploy,
params.yaml.

A checkout has them at its root. A wheel carries copies in the package's folder `project`: setup.py runs this
file alone to learn which, so it imports nothing of Sightline.
"""

from pathlib import Path

COMPOSE = "deploy/compose.yaml"  # no environment: it builds an image, for which it needs a checkout
PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = PACKAGE / "project"  # only in a wheel
PATTERNS = (
    "dvc.yaml",
    "params.yaml",
    "profiles/*.yaml",
    "deploy/*.yaml",
    "deploy/safety/*.yaml",
    "deploy/safety/*.safetensors",
    "stages/*.py",
    "data/no_input",
    "metrics/cost.json",  # what the built profiles took, from which `sightline estimate` reckons
    ".dvcignore",
    ".dvc/config",
    ".dvc/page.html",
    ".dvc/plots/*.json",
)


def files(root: Path) -> list[str]:
    """The files below `root` as paths relative to it, sorted. Raises ValueError for a pattern without any."""
    found: list[str] = []
    for pattern in PATTERNS:
        names = [path.relative_to(root).as_posix() for path in root.glob(pattern)]
        names = [name for name in names if name != COMPOSE]
        if not names:
            raise ValueError(f"{root / pattern} is not there: install Sightline anew")
        found += names
    return sorted(found)


def is_checkout() -> bool:
    """Whether this package is part of a checkout, and not installed from a wheel."""
    return not CARRIED.is_dir()


def folder() -> Path:
    """Where the files lie."""
    return PACKAGE.parents[1] if is_checkout() else CARRIED
