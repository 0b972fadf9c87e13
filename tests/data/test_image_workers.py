"""Pictures from elsewhere are decoded in worker processes: the same pixels, a budget for each, nothing left
behind; and no entrance goes around them."""

import ast
import os
import resource
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from sightline.core.source_digest import PACKAGE
from sightline.data import image_folder, image_workers, images
from sightline.data.image_workers import ImageWorkers
from sightline.data.images import ImageError
from sightline_lab.faults import dear_pictures
from tests.data.test_images import odd_pictures
from tests.support.sources import jpeg

LIMIT = 13_000_000
GOOD = jpeg(1)
DEAR = dear_pictures.ppm_of_numbers(14 << 20)


def running(of=None):
    """The workers below a process."""
    children = psutil.Process(of).children()
    return {child for child in children if image_workers.__name__ in child.cmdline()}


def wait_until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def fresh():
    """Workers of this test alone, and the function that tells their processes."""
    others = running()
    with ImageWorkers() as fresh:
        fresh.running = lambda: running() - others
        yield fresh


@pytest.mark.parametrize("name,data", odd_pictures().items())
def test_pixels_and_kept_bytes_are_those_of_this_process(workers, name, data):
    pixels = workers.decode(data, LIMIT, name)
    np.testing.assert_array_equal(pixels, images.decode(data, LIMIT))
    assert pixels.flags.writeable and pixels.dtype == np.uint8
    assert workers.prepare([(data, name)], LIMIT, 16) == [images.prepare(data, LIMIT, 16)]


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"%PDF-1.4", GOOD[:-200]], ids=str)
def test_refusals_are_those_of_this_process(workers, data):
    with pytest.raises(ImageError) as here:
        images.decode(data, LIMIT, "a.jpg")
    with pytest.raises(ImageError) as there:
        workers.decode(data, LIMIT, "a.jpg")
    (kept,) = workers.prepare([(data, "a.jpg")], LIMIT, 9)
    for error in (there.value, kept):
        assert (error.reason, str(error)) == (here.value.reason, str(here.value))


def test_of_several_pictures_the_dear_ones_alone_are_refused(workers):
    pictures = [(GOOD, "a"), (DEAR, "b"), (b"", "c"), (DEAR, "d"), (jpeg(2), "e")]
    found = workers.prepare(pictures, LIMIT, 64)
    assert (found[0], found[4]) == ((GOOD, "jpg"), (jpeg(2), "jpg"))
    assert [error.reason for error in found[1:4]] == ["too_dear", "empty", "too_dear"]
    assert str(found[3]).startswith("picture d takes more time")
    assert workers.prepare([], LIMIT, 64) == []


@pytest.mark.parametrize("kind", dear_pictures.KINDS)
def test_a_dear_picture_is_refused_and_the_next_one_decoded(workers, kind):
    # The numbers are refused by their time alone, of which a faster processor takes less.
    data = DEAR if kind == "PPM of numbers" else dear_pictures.KINDS[kind](6 << 20)
    says = "takes more time to decode than its size allows" if kind == "PPM of numbers" else "has more than"
    with pytest.raises(ImageError, match=f"picture x.jpg {says}") as refused:
        workers.decode(data, LIMIT, "x.jpg")
    assert refused.value.reason == "too_dear"
    np.testing.assert_array_equal(workers.decode(GOOD, LIMIT), images.decode(GOOD, LIMIT))


def test_a_large_picture_has_a_larger_budget(workers):
    """As many pixels as are taken anywhere take more memory than a small picture may."""
    large = images.encode(np.zeros((6500, 7500, 3), np.uint8), "jpg")[0]
    assert workers.decode(large, 50_000_000).shape == (6500, 7500, 3)
    assert workers.prepare([(large, "")], 50_000_000, 64)[0][1] == "jpg"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space of another process")
def test_a_picture_that_takes_too_much_memory_is_refused(fresh):
    fresh.decode(GOOD, LIMIT)
    (worker,) = fresh.running()
    room = worker.memory_info().vms + (16 << 20)
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (room, room))
    large = images.encode(np.zeros((2800, 2900, 3), np.uint8))[0]
    with pytest.raises(ImageError, match="takes more memory to decode than its size allows") as refused:
        fresh.decode(large, LIMIT)
    assert refused.value.reason == "too_dear"
    assert fresh.decode(large, LIMIT).shape == (2800, 2900, 3)  # by another worker


@pytest.mark.parametrize(
    ("limit", "value", "says"), [("MEMORY", -(1 << 30), "memory"), ("WALL_S", 0.0, "within")]
)
def test_what_the_kernel_does_not_limit_the_parent_does(fresh, monkeypatch, limit, value, says):
    fresh.decode(GOOD, LIMIT)
    monkeypatch.setattr(image_workers, limit, value)
    with pytest.raises(ImageError, match=says) as refused:
        fresh.decode(DEAR, LIMIT)
    assert refused.value.reason == "too_dear"


def test_several_threads_share_a_few_workers(fresh):
    pictures = [jpeg(number) for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda data: fresh.decode(data, LIMIT), pictures * 3))
    for pixels, data in zip(found, pictures * 3, strict=True):
        np.testing.assert_array_equal(pixels, images.decode(data, LIMIT))
    assert 1 <= len(fresh.running()) <= image_workers.WORKERS


def test_a_worker_that_was_killed_between_two_pictures_is_replaced(fresh):
    fresh.decode(GOOD, LIMIT)
    (worker,) = fresh.running()
    worker.kill()
    wait_until(lambda: worker.status() == psutil.STATUS_ZOMBIE)
    np.testing.assert_array_equal(fresh.decode(GOOD, LIMIT), images.decode(GOOD, LIMIT))


def test_to_close_ends_a_picture_that_is_decoded(fresh):
    """Also one that the caller waits for: the end of a server waits for no picture."""
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(fresh.decode, DEAR, LIMIT)
        wait_until(lambda: any(worker.cpu_times().user > 0.4 for worker in fresh.running()))
        fresh.close()
        with pytest.raises(RuntimeError, match="were closed"):
            waits.result()
    assert not fresh.running()
    with pytest.raises(RuntimeError, match="were closed"):
        fresh.decode(GOOD, LIMIT)


PARENT = """
import sys
from pathlib import Path
from sightline.data.image_workers import ImageWorkers
workers = ImageWorkers()
workers.decode(Path("good").read_bytes(), 10**6)
print("ready", flush=True)
if sys.argv[1] == "at work":
    workers.decode(Path("dear").read_bytes(), 10**7)
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "at work"])
def test_a_worker_ends_with_its_parent_however_that_was(tmp_path, state):
    (tmp_path / "good").write_bytes(GOOD)
    (tmp_path / "dear").write_bytes(DEAR)
    command = [sys.executable, "-c", PARENT, state]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"ready\n"
        (worker,) = running(parent.pid)
        begun_s = worker.cpu_times().user
        if state == "at work":
            wait_until(lambda: worker.cpu_times().user > begun_s + 0.1)
        parent.kill()
    wait_until(lambda: has_ended(worker))


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_modules_of_the_current_folder_are_not_imported(tmp_path, monkeypatch):
    for name in ("numpy", "PIL", "sightline"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with ImageWorkers() as fresh:
        assert fresh.decode(GOOD, LIMIT).shape == (32, 32, 3)


def test_a_worker_that_does_not_start_says_so(fresh, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"did not start \(exit status 1\).*sightline doctor"):
        fresh.decode(GOOD, LIMIT)
    monkeypatch.undo()
    assert fresh.decode(GOOD, LIMIT).shape == (32, 32, 3)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_dear_picture_of_a_folder_or_an_archive_is_left_out(tmp_path, zipped):
    folder = tmp_path / "shots"
    folder.mkdir()
    for name, data in (("a.jpg", GOOD), ("b.ppm", DEAR), ("c.jpg", GOOD)):
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "shots.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    refused = []
    found = image_folder.read(tmp_path / "shots.zip" if zipped else folder, LIMIT, refused)
    assert [os.path.basename(name) for name, _ in found] == ["a.jpg", "c.jpg"]
    assert len(refused) == 1 and "b.ppm takes more time to decode" in refused[0]


# What decodes in its own process, because Sightline wrote the pictures: data/raw and what is built from it,
# and the pictures of an audit, which are drawn or come through the same sources.
OWN = {
    "data/image_workers.py", "data/images.py", "data/shards.py", "data/questions/leakage.py",
    "search/bundle.py", "search/reranking.py", "inference/calibration_data.py", "inference/out_of_domain.py",
    "evaluate/dataset_report/corpus_statistics.py", "audit/audit_page.py", "audit/bundle_answerer.py",
    "audit/transformers_answerer.py", "audit/white_box.py", "data/questions/near_duplicates.py",
}  # fmt: skip
DECODERS = {"images.decode", "images.prepare", "Image.open"}


def test_no_entrance_goes_around_the_workers():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "sightline.data.images":
                used |= {f"images.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "PIL.Image":
                used |= {f"Image.{alias.name}" for alias in node.names}
        if used & DECODERS:
            found.add(path.relative_to(PACKAGE).as_posix())
    assert found == OWN
