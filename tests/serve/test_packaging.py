"""The lock files belong together, the wheels hold what they should, and what serving needs is small."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MB = 500


def lines(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def names(name):
    return {canonicalize_name(Requirement(line).name) for line in lines(name)}


def test_what_serving_needs_is_a_part_of_the_lock_and_has_no_torch():
    served, lock = (
        {line.split(" ;")[0] for line in lines(f"requirements{part}.txt")} for part in ("-serve", "")
    )
    assert served <= lock
    assert names("requirements-core.in") | names("requirements-serve.in") <= names("requirements-serve.txt")
    assert not names("requirements-serve.txt") & {"torch", "transformers", "dvc", "pandas", "openai"}


def test_every_name_asked_for_once_is_locked_within_its_range():
    locked = [Requirement(line) for line in lines("requirements.txt")]
    pins = {canonicalize_name(one.name): one.specifier for one in locked}
    files = [f"requirements{part}.in" for part in ("", "-core", "-serve")]
    asked = [Requirement(line) for name in files for line in lines(name)]
    for wanted in asked:
        (pin,) = pins[canonicalize_name(wanted.name)]
        assert pin.operator == "==" and wanted.specifier.contains(pin.version), wanted
        assert {bound.operator for bound in wanted.specifier} == {">=", "<"}, wanted
    assert len({wanted.name for wanted in asked}) == len(asked)


def known_to_git(folder: Path) -> list[str]:
    """Files below it that are tracked or new, not ignored."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.splitlines() if (folder / name).is_file()]


def built_wheel(project: Path, folder: Path, names: list[str]) -> Path:
    """The wheel of a project that has these files alone, built without a network."""
    copy = folder / "copy"
    for name in names:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / name, copy / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*build, "--no-build-isolation", "--wheel-dir", folder, copy], check=True)
    (built,) = folder.glob("*.whl")
    return built


def wheel(project: Path, folder: Path) -> tuple[set[str], Message, str]:
    """(files, metadata, entry points) of the wheel of a project, built without a network from a copy."""
    names = known_to_git(project)
    kept = [name for name in names if not name.startswith(("tests/", "docs/", "metrics/"))]
    with zipfile.ZipFile(
        built_wheel(project, folder, [*kept, *({"metrics/cost.json"} & {*names})])
    ) as archive:
        names = archive.namelist()
        texts = {name.split("/")[1]: archive.read(name).decode() for name in names if ".dist-info/" in name}
    return set(names), message_from_string(texts["METADATA"]), texts["entry_points.txt"]


def modules(package: str) -> set[str]:
    """Files of a package as a wheel names them."""
    return {f"{package}/{name}" for name in known_to_git(ROOT / "src" / package)}


def test_the_wheel_of_the_product_has_ranges_and_no_lab(tmp_path):
    files, metadata, points = wheel(ROOT, tmp_path)
    assert metadata["Name"] == "sightline-vlm" and not any(name.startswith("sightline_lab") for name in files)
    carried = {name for name in files if name.startswith("sightline/project/")}  # what init copies
    environments = {f"sightline/project/deploy/{name}.yaml" for name in ("base", "dev", "staging", "prod")}
    assert {"sightline/project/dvc.yaml"} | environments <= carried
    assert "sightline/project/deploy/compose.yaml" not in carried  # it needs a checkout
    assert {name for name in files if name.startswith("sightline/")} - carried == modules("sightline")
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    assert {one.name for one in required if not one.marker} >= {"numpy", "onnxruntime", "typer"}
    assert all({bound.operator for bound in one.specifier} == {">=", "<"} for one in required)
    assert set(metadata.get_all("Provides-Extra")) == {
        "serve",
        "train",
        "tracking",
        "tune",
        "ray",
        "openvino",
        "services",
    }
    assert "sightline = sightline.cli.main:main" in points and "lab" not in points


def copied_by_the_image() -> list[str]:
    """Files that the Dockerfile copies to where the package is built, of those .dockerignore lets through."""
    _, stage, _ = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    copies = [line.split()[1:] for line in stage.splitlines() if line.startswith("COPY ")]
    for *sources, target in copies:
        for source in map(PurePosixPath, sources):
            place = PurePosixPath(target) if (ROOT / source).is_dir() else PurePosixPath(target) / source.name
            assert place == source, "the copy lies where the checkout has it"
    wanted = [source for *sources, _ in copies for source in sources]
    let_in = [line[1:] for line in lines(".dockerignore") if line.startswith("!")]

    def below(name: str, patterns: list[str]) -> bool:
        places = [name, *map(str, PurePosixPath(name).parents)]
        return any(fnmatch(place, pattern) for place in places for pattern in patterns)

    return [name for name in known_to_git(ROOT) if below(name, wanted) and below(name, let_in)]


def test_the_image_has_all_that_serving_as_prod_reads(tmp_path):
    built = built_wheel(ROOT, tmp_path, copied_by_the_image())
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "unpacked")
    command = [sys.executable, "-c", "from sightline.cli.main import main; main()", "serve", "--print-config"]
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    given = dict(re.findall(r"(SIGHTLINE_SERVE__\w+)=(\S+)", text.split("\nENV ")[1].split("\nUSER ")[0]))
    (words,) = re.findall(r"^CMD (.*)", text, re.M)
    done = subprocess.run(
        [*command, *json.loads(words)], cwd=tmp_path, capture_output=True, text=True, check=True,
        env=os.environ | given | {"PYTHONPATH": str(tmp_path / "unpacked"), "PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    prod = tmp_path / "unpacked" / "sightline" / "project" / "deploy" / "prod.yaml"
    expected = {
        f"host = '0.0.0.0'   ({prod})",
        f"needs_keys = True   ({prod})",
        "model = '/bundle'   (SIGHTLINE_SERVE__MODEL)",
        "keys = '/keys.env'   (SIGHTLINE_SERVE__KEYS)",
    }
    assert expected <= set(done.stdout.splitlines())


def test_the_image_is_pinned_unprivileged_and_holds_no_key():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    steps = [line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines() if line[:1].isupper()]
    kinds = [kind for kind, _ in steps]
    bases = [words.split()[0] for kind, words in steps if kind == "FROM"]
    assert bases == ["python:${PYTHON}"] * 2 and re.search(r"^ARG PYTHON=3\.11\.\d+-slim-\w+$", text, re.M)
    last = steps[len(kinds) - kinds[::-1].index("FROM") :]
    (user,) = [words for kind, words in last if kind == "USER"]
    assert ["RUN", f"useradd --uid 10001 --no-create-home {user}"] in last and user != "root"
    assert kinds.count("HEALTHCHECK") == kinds.count("ENTRYPOINT") == kinds.count("CMD") == 1
    assert "/live" in next(words for kind, words in last if kind == "HEALTHCHECK")
    assert not {"ADD", "VOLUME"} & {*kinds} and "sudo" not in text
    copied = [words for kind, words in last if kind == "COPY"]
    assert copied == ["--from=build /venv /venv"]  # nothing of the checkout, so no keys.env that lies there
    given = [words for kind, words in steps if kind in ("ARG", "ENV")]
    assert not [words for words in given if re.search(r"(SECRET|TOKEN|PASSWORD|API_KEY)\w*=", words)]


def has_docker() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0


LOOK = """
import time, urllib.request
for _ in range(60):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/{}", timeout=60).status)
        break
    except OSError:
        time.sleep(1)
"""


@pytest.mark.full
@pytest.mark.skipif(not has_docker(), reason="no Docker runs here: the image is not built")
@pytest.mark.parametrize("page", ["no", "yes"])
def test_the_image_is_built_and_serves(tmp_path, bundle, page):
    """Needs a registry with the base image and a package index; skipped where there is none."""
    name = f"sightline-test-{page}"
    build = ["docker", "build", "--quiet", "--build-arg", f"PAGE={page}", "--tag", name, ROOT]
    built = subprocess.run(build, capture_output=True, text=True)
    if re.search(r"no such host|i/o timeout|connection refused|dial tcp", built.stderr):
        pytest.skip("no registry with the image's base can be reached: the image is not built")
    assert built.returncode == 0, built.stderr
    (tmp_path / "keys.env").write_text("a-key-of-the-image\n")
    run = ["docker", "run", "--rm", "--detach", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    run += ["-e", f"SIGHTLINE_SERVE__PAGE={json.dumps(page == 'yes')}", "-v", f"{bundle}:/bundle:ro"]
    run += ["-v", f"{tmp_path / 'keys.env'}:/keys.env:ro", name]
    container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        for path in ["ready", *(["login"] if page == "yes" else [])]:
            ask = ["docker", "exec", container, "python", "-c", LOOK.format(path)]
            assert subprocess.run(ask, capture_output=True, text=True).stdout.strip() == "200", path
    finally:
        subprocess.run(["docker", "stop", container], check=True, capture_output=True)


def test_the_lab_is_a_distribution_of_its_own(tmp_path):
    files, metadata, points = wheel(ROOT / "src" / "sightline_lab", tmp_path)
    assert metadata["Name"] == "sightline-vlm-lab" and "lab = sightline_lab.cli.main:app" in points
    expected = modules("sightline_lab") - {"sightline_lab/pyproject.toml"}
    assert {name for name in files if ".dist-info/" not in name} == expected
    (product,) = (Requirement(line) for line in metadata.get_all("Requires-Dist"))
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (product.name, str(product.specifier)) == (root["name"], f"=={root['version']}")
    assert metadata["Version"] == root["version"]


def test_the_extras_are_the_files():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "dynamic"
    ]
    assert project["dependencies"] == {"file": ["requirements-core.in"]}
    assert project["optional-dependencies"] == {
        "serve": {"file": ["requirements-serve.in"]}, "train": {"file": ["requirements.in"]},
        "tracking": {"file": ["requirements-tracking.in"]},
        "tune": {"file": ["requirements-tune.in"]}, "services": {"file": ["requirements-services.in"]},
        "ray": {"file": ["requirements-ray.in"]}, "openvino": {"file": ["requirements-openvino.in"]},
    }  # fmt: skip


@pytest.mark.full
def test_a_fresh_environment_serves_without_torch_and_is_small(tmp_path, bundle):
    """Needs a package index; skipped where there is none."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet"]
    if subprocess.run([*install, "-r", ROOT / "requirements-serve.txt"]).returncode:
        pytest.skip("no package index can be reached")
    subprocess.run([*install, "--no-deps", ROOT], check=True)
    size = sum(path.stat().st_size for path in (tmp_path / "venv").rglob("*") if path.is_file()) / 1e6
    assert size < LIMIT_MB
    command = tmp_path / "venv" / "bin" / "sightline"
    for words in (["ask"], ["search", "a red ball"], ["doctor"], ["serve", "--help"]):
        given = [] if words[-1] == "--help" else ["--bundle", bundle]
        subprocess.run([command, *words, *given], check=True, cwd=tmp_path)
    code = "import sightline.serve.api, sightline.serve.server, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([python, "-c", code], check=True, cwd=tmp_path)
