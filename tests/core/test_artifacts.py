"""Artifacts are complete and verified, or absent."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core import artifacts, atomic_io, replace_folder
from sightline.core.artifacts import ArtifactError

ROOT = Path(__file__).resolve().parents[2]
KILLED = 77  # exit code of a writer that ends itself in the middle


def write(folder: Path, value: float = 1.0) -> None:
    with artifacts.create(folder, "toy", {"width": 2}, card="# A toy\n") as filling:
        artifacts.save_weights(filling / "weights.safetensors", {"w": np.full((2, 3), value, np.float32)})
        (filling / "shards").mkdir()
        (filling / "shards" / "a.bin").write_bytes(b"0123456789")
        (filling / "shards" / "empty").touch()


@pytest.fixture
def toy(tmp_path):
    write(tmp_path / "toy")
    return tmp_path / "toy"


def test_what_was_written_is_loaded(toy):
    artifact = artifacts.load(toy, "toy")
    assert (artifact.path, artifact.kind, artifact.config) == (toy, "toy", {"width": 2})
    assert np.array_equal(artifacts.load_weights(toy / "weights.safetensors")["w"], np.ones((2, 3)))
    manifest = json.loads((toy / "manifest.json").read_text())
    names = ["README.md", "config.json", "shards/a.bin", "shards/empty", "weights.safetensors"]
    assert sorted(manifest["files"]) == names
    assert [path.name for path in toy.parent.iterdir()] == ["toy"]


def test_the_same_content_has_the_same_bytes_and_digest(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    write(tmp_path / "c", value=2.0)
    a, b, c = (artifacts.load(tmp_path / name, "toy").digest() for name in "abc")
    assert a == b != c


def test_config_may_be_completed_inside_the_block(tmp_path):
    config = {}
    with artifacts.create(tmp_path / "toy", "toy", config):
        config["items"] = 3
    assert artifacts.load(tmp_path / "toy", "toy").config == {"items": 3}


def test_every_flipped_bit_is_found(toy):
    files = sorted(path for path in toy.rglob("*") if path.is_file() and path.stat().st_size)
    assert len(files) >= 4
    for path in files:
        sound = path.read_bytes()
        for place in (0, len(sound) // 2, len(sound) - 1):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
            with pytest.raises(ArtifactError, match=r"expected|not in the manifest"):
                artifacts.load(toy, "toy")
        path.write_bytes(sound)
    artifacts.load(toy, "toy")


@pytest.mark.parametrize("name", ["README.md", "config.json", "shards/a.bin", "weights.safetensors"])
def test_damage_names_the_file_and_the_cure(toy, name):
    sound = (toy / name).read_bytes()
    (toy / name).write_bytes(sound[:-1])
    with pytest.raises(ArtifactError, match=rf"{name}: expected sha256 \w+, found \w+; .*doctor --repair"):
        artifacts.load(toy, "toy")
    (toy / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name}: expected by the manifest, found no such file"):
        artifacts.load(toy, "toy")
    (toy / name).symlink_to(toy / "shards")
    with pytest.raises(ArtifactError, match=rf"{name}: expected a regular file, found a link"):
        artifacts.load(toy, "toy")


def test_an_artifact_whose_manifest_lists_no_settings_is_refused(toy):
    (toy / "config.json").unlink()
    manifest = artifacts.read_json(toy / "manifest.json")
    del manifest["files"]["config.json"]
    artifacts.write_json(toy / "manifest.json", manifest)
    with pytest.raises(ArtifactError, match=r"config\.json: expected by the manifest, found no such file"):
        artifacts.load(toy, "toy")


def test_extra_swapped_and_foreign_files_are_refused(toy):
    (toy / "shards" / "extra").touch()
    with pytest.raises(ArtifactError, match="shards/extra: .*extra file"):
        artifacts.load(toy, "toy")
    (toy / "shards" / "extra").unlink()
    with pytest.raises(ArtifactError, match="expected an artifact of kind 'vlm', found 'toy'"):
        artifacts.load(toy, "vlm")
    os.replace(toy / "shards" / "a.bin", toy / "kept")
    os.replace(toy / "shards" / "empty", toy / "shards" / "a.bin")
    os.replace(toy / "kept", toy / "shards" / "empty")
    with pytest.raises(ArtifactError, match="sha256"):
        artifacts.load(toy, "toy")


def test_links_and_pipes_are_refused_even_when_their_content_fits(toy, tmp_path):
    shutil.move(toy / "shards" / "a.bin", tmp_path / "a.bin")
    (toy / "shards" / "a.bin").symlink_to(tmp_path / "a.bin")
    with pytest.raises(ArtifactError, match="found a link"):
        artifacts.load(toy, "toy")
    (toy / "shards" / "a.bin").unlink()
    os.mkfifo(toy / "shards" / "a.bin")
    with pytest.raises(ArtifactError, match="special file"):
        artifacts.load(toy, "toy")


def test_an_absent_or_unfinished_artifact_is_refused(toy, tmp_path):
    with pytest.raises(ArtifactError, match="found no such folder"):
        artifacts.load(tmp_path / "nowhere", "toy")
    (tmp_path / "photos").mkdir()
    with pytest.raises(ArtifactError, match=r"found no manifest\.json") as refused:
        artifacts.load(tmp_path / "photos", "toy")
    assert "delete" not in str(refused.value)  # whose folder it is, nobody knows
    for manifest in ("", "{", "[]", '{"kind": "toy"}', '{"kind": "toy", "files": 3}'):
        (toy / "manifest.json").write_text(manifest)
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            artifacts.load(toy, "toy")


def test_an_error_leaves_the_old_version_and_nothing_else(toy):
    before = artifacts.load(toy, "toy").digest()
    with pytest.raises(RuntimeError), artifacts.create(toy, "toy", {}) as filling:
        (filling / "half").touch()
        raise RuntimeError
    assert artifacts.load(toy, "toy").digest() == before
    assert [path.name for path in toy.parent.iterdir()] == ["toy"]


@pytest.mark.parametrize("replacing", [False, True])
def test_death_at_any_file_operation_leaves_the_old_or_the_new_version(tmp_path, replacing):
    write(tmp_path / "new", 2.0)
    new = artifacts.load(tmp_path / "new", "toy").digest()
    folder, seen = tmp_path / "work" / "toy", []
    for limit in range(200):
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir()
        if replacing:
            write(folder, 1.0)
        pid = os.fork()
        if pid == 0:
            _die_after(limit)
            write(folder, 2.0)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if folder.exists():
            seen.append(artifacts.load(folder, "toy").digest() == new)
        replace_folder.sweep(folder)  # what the next writer does first
        if replacing:
            artifacts.load(folder, "toy")
        assert [path for path in folder.parent.iterdir() if path != folder] == []
        if code == 0:
            break
        assert code == KILLED
    assert limit > 20 and seen[-1]


def _die_after(limit: int) -> None:
    """Make this process end without a trace at its file operation number `limit`."""
    left = limit

    def counted(real):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(KILLED)
            return real(*args, **kwargs)

        return call

    for name in ("replace", "fsync", "open", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))


def left_by(pid: int, folder: Path, proof: str) -> Path:
    """What a writer of `folder` leaves when it is killed."""
    temporary = folder.with_name(f".{folder.name}.{pid}-0123abcd.tmp")
    (temporary / "new").mkdir(parents=True)
    (temporary / "new" / "half").write_text("half")
    (temporary / "owner").write_text(proof)
    return temporary


def test_a_writer_killed_at_its_first_write_leaves_nothing_for_long(tmp_path):
    """The owner file is there and still empty; with anything in it or beside it the folder stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    begun = tmp_path / f".toy.{gone.pid}-0123abcd.tmp"
    begun.mkdir()
    (begun / "owner").touch()
    another = tmp_path / f".toy.{gone.pid}-4567abcd.tmp"
    (another / "new").mkdir(parents=True)
    (another / "owner").touch()
    replace_folder.sweep(tmp_path / "toy")
    assert not begun.exists() and (another / "owner").exists()


def test_what_a_live_writer_fills_is_left_alone(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = left_by(other.pid, tmp_path / "toy", replace_folder._owner())
    write(tmp_path / "toy")
    assert theirs.is_dir()
    other.communicate(b"\n")
    write(tmp_path / "toy")
    assert not theirs.exists()


@pytest.mark.parametrize("proof", ["", "sightline on another-machine\n"])
def test_a_temporary_folder_without_the_proof_is_left_alone(tmp_path, proof):
    other = subprocess.Popen([sys.executable, "-c", ""])
    other.wait()
    theirs = left_by(other.pid, tmp_path / "toy", proof)
    write(tmp_path / "toy")
    assert (theirs / "new" / "half").read_text() == "half"


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file, folder and link below a folder."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink()
        else path.read_bytes() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }  # fmt: skip


def holiday(folder: Path) -> None:
    (folder / "holiday").mkdir(parents=True)
    (folder / "holiday" / "letter.txt").write_text("dear")


def extra_file(folder: Path) -> None:
    write(folder)
    (folder / "shards" / "notes.txt").write_text("mine")


def extra_folder(folder: Path) -> None:
    write(folder)
    (folder / "mine").mkdir()


def link_inside(folder: Path) -> None:
    write(folder)
    (folder / "shards" / "a.bin").unlink()
    (folder / "shards" / "a.bin").symlink_to("/etc/hostname")


def other_kind(folder: Path) -> None:
    with artifacts.create(folder, "vlm", {}):
        pass


def foreign_manifest(folder: Path) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text('{"name": "a web application", "kind": "toy", "files": {}}')


FOREIGN = {
    holiday: "a folder with other files \\(holiday, ...\\)",
    lambda path: path.write_text("mine"): "a file",
    extra_file: "shards/notes.txt in it, which its manifest does not name",
    extra_folder: "mine in it, which its manifest does not name",
    link_inside: "shards/a.bin in it, which is a link",
    other_kind: "an artifact of kind 'vlm'",
    foreign_manifest: "a folder with other files \\(manifest.json, ...\\)",
}


@pytest.mark.parametrize(("make", "found"), FOREIGN.items(), ids=range(len(FOREIGN)))
@pytest.mark.parametrize("linked", [False, True])
def test_what_sightline_did_not_write_is_never_replaced(tmp_path, make, found, linked):
    make(tmp_path / "place")
    name = "place"
    if linked:
        (tmp_path / "link").symlink_to("place")
        name = "link"
    before = tree(tmp_path)
    with pytest.raises(ArtifactError, match=f"{found}; nothing was changed: choose another folder") as error:
        write(tmp_path / name)
    assert tree(tmp_path) == before
    write(Path(str(error.value).rpartition("for example ")[2]))  # the cure works
    assert {name: tree(tmp_path)[name] for name in before} == before


def test_what_came_while_the_folder_was_filled_is_not_replaced(tmp_path):
    with pytest.raises(ArtifactError, match="nothing was changed"):
        with artifacts.create(tmp_path / "toy", "toy", {}):
            holiday(tmp_path / "toy")
    assert tree(tmp_path) == {"toy": "", "toy/holiday": "", "toy/holiday/letter.txt": b"dear"}


def test_an_empty_folder_and_a_damaged_artifact_of_the_kind_are_replaced(tmp_path):
    (tmp_path / "toy").mkdir()
    write(tmp_path / "toy")
    (tmp_path / "toy" / "shards" / "a.bin").write_bytes(b"damaged")
    (tmp_path / "toy" / "README.md").unlink()
    write(tmp_path / "toy", 2.0)
    artifacts.load(tmp_path / "toy", "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_link_stays_and_what_it_leads_to_is_written_again_and_again(tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "toy").symlink_to("big")
    (tmp_path / "later").symlink_to("absent")
    for value in (1.0, 2.0, 3.0):
        write(tmp_path / "toy", value)
        write(tmp_path / "later", value)
    digests = [artifacts.load(tmp_path / name, "toy").digest() for name in ("big", "toy")]
    assert digests[0] == digests[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["absent", "big", "later", "toy"]
    assert (tmp_path / "toy").is_symlink() and (tmp_path / "later").is_symlink()


WRITE_TO_A_MOUNT = """
import sys
from pathlib import Path
from sightline.core import artifacts
for name in sys.argv[1:]:
    try:
        with artifacts.create(Path(name), "toy", {}):
            pass
    except artifacts.ArtifactError as error:
        print(error)
"""


@pytest.mark.parametrize("mount", ["mount -t tmpfs tmpfs", "mount --bind {}/other"])
def test_a_mount_point_is_refused_and_a_folder_in_it_is_written(tmp_path, mount):
    place = tmp_path / "volume"
    place.mkdir(), (tmp_path / "other").mkdir()
    (tmp_path / "writer.py").write_text(WRITE_TO_A_MOUNT)
    writer = f"{sys.executable} {tmp_path}/writer.py {place} {place}/toy {place}"
    script = f"{mount.format(tmp_path)} {place} && {writer} && ls -A {place} {tmp_path}"
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, env=env)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"a private mount needs root: {done.stderr.strip()}")
    first, second, *names = done.stdout.split("\n")
    assert "mount point" in first and f"for example {place}/toy" in first and str(place) in second, done
    assert "toy" in names and not any(name.startswith(".") for name in names)


def test_links_of_a_dvc_cache_are_read_and_may_be_replaced(toy, tmp_path):
    cached = tmp_path / "cache" / "files" / "md5" / "ab" / ("0" * 30)
    cached.parent.mkdir(parents=True)
    shutil.move(toy / "shards" / "a.bin", cached)
    (toy / "shards" / "a.bin").symlink_to(cached)
    artifacts.load(toy, "toy")
    write(toy, 2.0)
    assert cached.read_bytes() == b"0123456789" and not (toy / "shards" / "a.bin").is_symlink()
    (toy / "shards" / "a.bin").unlink()
    (toy / "shards" / "a.bin").symlink_to(cached)
    cached.write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="a.bin: expected sha256"):
        artifacts.load(toy, "toy")


def test_a_file_that_has_a_temporary_name_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_io.secrets, "token_hex", lambda size: "0123abcd")
    mine = tmp_path / f".a.json.{os.getpid()}-0123abcd.tmp"
    mine.write_text("mine")
    with pytest.raises(FileExistsError):
        artifacts.write_json(tmp_path / "a.json", 1)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("operation", range(8))
def test_a_full_disk_is_one_clear_error(toy, monkeypatch, code, operation):
    before, real, calls = artifacts.load(toy, "toy").digest(), os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > operation:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ArtifactError, match=r"no space left on the disk: \d+ bytes .* \d+ bytes are free"):
        write(toy, 2.0)
    monkeypatch.undo()
    assert artifacts.load(toy, "toy").digest() == before
    assert [path.name for path in toy.parent.iterdir()] == ["toy"]


FILL_THE_DISK = """
import sys
from pathlib import Path
sys.path.insert(0, {src!r})
from sightline.core import artifacts
mount = Path({mount!r})
try:
    with artifacts.create(mount / "toy", "toy", {{}}) as filling:
        (filling / "big").write_bytes(bytes(10**6))
except artifacts.ArtifactError as error:
    print(error)
print(list(mount.iterdir()))
"""


def test_a_really_full_disk(tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    (tmp_path / "writer.py").write_text(FILL_THE_DISK.format(src=str(ROOT / "src"), mount=str(mount)))
    script = f"mount -t tmpfs -o size=256k tmpfs {mount} && {sys.executable} {tmp_path / 'writer.py'}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"a private tmpfs needs root: {done.stderr.strip()}")
    error, left = done.stdout.splitlines()
    assert "no space left on the disk" in error and left == "[]", done


def test_weights_are_the_same_bytes_from_numpy_and_torch_in_any_order(tmp_path):
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3).T, "a": np.array(3), "c": np.zeros((0, 2))}
    tensors = {name: torch.from_numpy(array.copy()) for name, array in reversed(arrays.items())}
    artifacts.save_weights(tmp_path / "n", arrays)
    artifacts.save_weights(tmp_path / "t", tensors)
    assert (tmp_path / "n").read_bytes() == (tmp_path / "t").read_bytes()
    loaded = artifacts.load_weights(tmp_path / "t")
    assert list(loaded) == ["a", "b", "c"]
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype and loaded[name].shape == array.shape
        assert np.array_equal(loaded[name], array)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_weight_that_is_not_finite_is_saved(tmp_path, bad):
    with pytest.raises(ArtifactError, match=r"tensor 'w' holds NaN or infinity"):
        artifacts.save_weights(tmp_path / "x", {"v": np.ones(2), "w": np.array([1.0, bad])})
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_without_numpy_form_and_a_cut_file_are_named(tmp_path):
    with pytest.raises(ArtifactError, match="'w'.*bfloat16"):
        artifacts.save_weights(tmp_path / "x", {"w": torch.ones(2, dtype=torch.bfloat16)})
    artifacts.save_weights(tmp_path / "x", {"w": np.ones(9)})
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="x: expected safetensors, found a damaged file"):
        artifacts.load_weights(tmp_path / "x")


def test_json_is_sorted_and_refuses_what_json_has_not(tmp_path):
    path = tmp_path / "a.json"
    artifacts.write_json(path, {"b": np.float64(0.5), "a": [np.int64(3), "é", None, True]})
    lines = ["{", '  "a": [', "    3,", '    "é",', "    null,", "    true", "  ],", '  "b": 0.5', "}", ""]
    assert path.read_bytes() == "\n".join(lines).encode()
    with pytest.raises(ArtifactError, match=r"a\.json: cannot write x\.1\.y"):
        artifacts.write_json(path, {"x": [0.0, {"y": float("nan")}]})
    assert artifacts.read_json(path)["b"] == 0.5
    for damaged in ('{"a": NaN}', '{"a":', "\xff", ""):
        path.write_bytes(damaged.encode("latin-1"))
        with pytest.raises(ArtifactError, match=r"a\.json: expected JSON, found a damaged file"):
            artifacts.read_json(path)


finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(st.none() | st.booleans() | st.integers() | finite | st.text(), st.lists, max_leaves=9)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), values))
def test_json_round_trip(tmp_path_factory, obj):
    path = tmp_path_factory.getbasetemp() / "round.json"
    try:
        artifacts.write_json(path, obj)
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8 form
    assert artifacts.read_json(path) == obj


def test_bytes_are_on_the_disk_before_they_have_their_name_and_the_name_after(tmp_path, monkeypatch):
    """What a power loss would undo: a name without bytes, or bytes without a name."""
    done, sync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        done.append(("synced", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        sync(descriptor)

    def renamed(source, target):
        done.append(("renamed", Path(source), Path(target)))
        replace(source, target)

    monkeypatch.setattr(atomic_io.os, "fsync", synced)
    monkeypatch.setattr(atomic_io.os, "replace", renamed)
    artifacts.write_bytes(tmp_path / "a.json", b"{}")
    temporary = done[0][1]
    assert temporary.parent == tmp_path and temporary.name != "a.json"
    assert done == [
        ("synced", temporary), ("renamed", temporary, tmp_path / "a.json"), ("synced", tmp_path),
    ]  # fmt: skip


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    artifacts.write_json(tmp_path / "a.json", 1)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(ArtifactError, match="no space left"):
        atomic_io.write_bytes(tmp_path / "a.json", b"2")
    assert artifacts.read_json(tmp_path / "a.json") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_the_user_names_is_replaced_only_where_it_is_ours(tmp_path):
    atomic_io.check_output(tmp_path / "absent", b"mark")
    (tmp_path / "empty").touch()
    (tmp_path / "ours").write_bytes(b"<title>mark</title>")
    for name in ("empty", "ours"):
        atomic_io.check_output(tmp_path / name, b"mark")
    (tmp_path / "theirs").write_bytes(b"dear")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("theirs", "folder", "dangling"):
        with pytest.raises(ArtifactError, match=f"{name}: .*found another; nothing was changed"):
            atomic_io.check_output(tmp_path / name, b"mark")
