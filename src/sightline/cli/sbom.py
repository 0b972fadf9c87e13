"""`make sbom`: the packages of the lock file as a software bill of materials in CycloneDX's JSON.

https://cyclonedx.org/docs/1.6/json/. The same lock on the same platform gives the same bytes: no time, no
serial number.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

from sightline.cli import checkout_files, diagnostics
from sightline.core import artifacts

FILE, SPECIFICATION = "sbom.cdx.json", "1.6"


def document(here: Path) -> dict[str, Any]:
    """The bill for this platform, of the packages that a checkout's lock file pins. Raises CheckoutError for
    a repository of one's own, which pins Sightline alone, and for a line without an exact version."""
    if checkout_files.is_own(here):
        raise checkout_files.CheckoutError(
            f"{here}: its requirements.txt pins Sightline alone; run `make sbom` in a checkout of Sightline"
        )
    path = here / diagnostics.LOCKS[0]
    components = []
    for required in diagnostics.required(path.read_text(encoding="utf-8").splitlines()):
        pins = list(required.specifier)
        if len(pins) != 1 or pins[0].operator != "==":
            raise checkout_files.CheckoutError(
                f"{path}: {required}: expected one exact version; `make lock` writes them"
            )
        components.append(_component("library", required.name, pins[0].version))
    about = _component("application", diagnostics.DISTRIBUTION, _own_version(here))
    return {
        "bomFormat": "CycloneDX", "specVersion": SPECIFICATION, "version": 1,
        "metadata": {"component": about},
        "components": sorted(components, key=lambda component: component["purl"]),
    }  # fmt: skip


def _own_version(here: Path) -> str:
    return tomllib.loads((here / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _component(kind: str, name: str, version: str) -> dict[str, str]:
    from packaging.utils import canonicalize_name

    name = canonicalize_name(name)
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main() -> None:
    """Writes FILE into the checkout."""
    try:
        here = checkout_files.root()
        written = document(here)
        artifacts.write_json(here / FILE, written)
    except (ValueError, OSError) as error:
        sys.exit(f"sbom: {error}")
    print(
        f"sbom: {FILE} lists {len(written['components'])} packages that {diagnostics.LOCKS[0]} pins for here"
    )


if __name__ == "__main__":
    main()
