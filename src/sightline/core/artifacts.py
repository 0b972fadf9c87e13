"""Artifacts: folders that are complete and verified, or absent.

An artifact is filled in a temporary sibling folder, gets `config.json` (all that rebuilds it), an
optional card (`README.md`) and `manifest.json` (sha256 of every file), is fsynced and renamed into
place. No weight format notices a flipped bit, so loading verifies every hash first; the large files of a
search index are verified part by part, when they are read (`checked_files`).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from sightline.core import checked_files, replace_folder
from sightline.core.atomic_io import FULL, ArtifactError, full, sha256, sync_folder, write_bytes
from sightline.core.replace_folder import MANIFEST

CONFIG = "config.json"
MAX_JSON = 64 * 2**20  # bytes of a JSON file
BESIDE = (".git", ".gitattributes", ".cache")  # what git and the Hugging Face Hub keep beside the files


@dataclass(frozen=True)
class Artifact:
    """A verified artifact: its folder, kind and config."""

    path: Path
    kind: str
    config: dict[str, Any]

    def digest(self) -> str:
        """Return the sha256 of the manifest, which names the artifact's whole content."""
        return sha256(self.path / MANIFEST)


@contextmanager
def create(folder: Path, kind: str, config: dict[str, Any], card: str = "") -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it becomes `folder`, on an error it is removed.

    `config` is written when the block ends, so the block may still add to it. An existing `folder`
    is replaced only once the new one is complete, and only if it is empty or an artifact of the same
    kind: ArtifactError for anything else, and, naming the path and the bytes, when the disk is full.
    A link stays, and what it leads to is written.
    """
    folder = replace_folder.target(folder)
    replace_folder.check(folder, kind)
    filling = replace_folder.begin(folder)
    try:
        yield filling
        _seal(filling, kind, config, card)
        replace_folder.swap(filling, folder, kind)
    except OSError as error:
        written = sum(path.stat().st_size for path in filling.rglob("*") if path.is_file())
        if error.errno not in FULL:
            raise
        raise full(error.filename or folder, written) from error
    finally:
        replace_folder.end(filling, folder)


def load(folder: Path, kind: str, everything: bool = False) -> Artifact:
    """Verify every file of an artifact and return it. Of files that a `chunks.json` in it lists, the size is
    verified, and with `everything` the content, too.

    Raises ArtifactError, naming file, expected, found and the cure, for a missing, extra, changed or
    linked file, and for an artifact of another kind.
    """
    folder = Path(folder)
    cure = f"run `sightline doctor --repair {folder}` where a checkout built it, else make or fetch it again"
    if not (folder / MANIFEST).is_file():
        found = f"found no {MANIFEST}" if folder.exists() else "found no such folder"
        raise ArtifactError(
            f"{folder}: expected a complete {kind} artifact, {found}; give the folder that Sightline wrote, "
            "or rerun the stage or command that writes it"
        )
    manifest = _manifest(folder, cure)
    if manifest["kind"] != kind:
        raise ArtifactError(f"{folder}: expected an artifact of kind {kind!r}, found {manifest['kind']!r}")
    present = {_relative(folder, path): path for path in _files(folder) if path != folder / MANIFEST}
    for name in sorted(manifest["files"].keys() | present.keys() | {CONFIG}):
        if name not in present:
            raise ArtifactError(f"{folder / name}: expected by the manifest, found no such file; {cure}")
        if name not in manifest["files"]:
            raise ArtifactError(f"{folder / name}: not in the manifest, found an extra file; remove it")
    sizes: dict[str, int] = {}
    for name in sorted(present, key=lambda name: (Path(name).name != checked_files.CHUNKS, name)):
        if name in sizes and not everything:
            size = present[name].stat().st_size
            if size != sizes[name]:
                raise ArtifactError(f"{folder / name}: expected {sizes[name]} bytes, found {size}; {cure}")
            continue
        expected, digest = manifest["files"][name], sha256(present[name])
        if digest != expected:
            raise ArtifactError(f"{folder / name}: expected sha256 {expected}, found {digest}; {cure}")
        if Path(name).name == checked_files.CHUNKS:
            rows = checked_files.listed(present[name].parent)
            sizes |= {Path(name).with_name(row[0]).as_posix(): row[1] for row in rows}
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise ArtifactError(f"{folder / CONFIG}: expected an object, found another form; {cure}")
    return Artifact(folder, kind, config)


def save_weights(path: Path, tensors: dict[str, Any]) -> None:
    """Write arrays (NumPy or torch) as safetensors: sorted names, no metadata, atomically.

    Raises ArtifactError naming the first tensor that holds NaN or infinity.
    """
    arrays = {name: _array(name, tensors[name]) for name in sorted(tensors)}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(f"{path}: the tensor {name!r} holds NaN or infinity, so nothing was saved")
    write_bytes(path, safetensors.numpy.save(arrays))


def load_weights(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file, names sorted. Raises ArtifactError for one that is cut or malformed."""
    try:
        return dict(sorted(safetensors.numpy.load_file(path).items()))
    # Besides its own error the library raises what its parts do, as for a type that NumPy has not.
    except (safetensors.SafetensorError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise ArtifactError(f"{path}: expected safetensors, found a damaged file ({error})") from error


def write_json(path: Path, obj: Any) -> None:
    """Write sorted, indented JSON atomically; NumPy scalars become numbers. Refuses NaN and infinity."""
    try:
        text = json.dumps(obj, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False, default=_plain)
    except ValueError as error:
        raise ArtifactError(f"{path}: cannot write {_culprit(obj)}: {error}") from error
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON. Raises ArtifactError, naming file and position, for a damaged one, and for one larger than
    MAX_JSON or deeper than Python reads."""
    size = Path(path).stat().st_size
    if size > MAX_JSON:
        raise ArtifactError(f"{path}: expected JSON of at most {MAX_JSON} bytes, found {size}")
    try:
        return json.loads(Path(path).read_bytes(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: expected JSON, found a damaged file ({error})") from error


def _manifest(folder: Path, cure: str) -> dict[str, Any]:
    manifest = read_json(folder / MANIFEST)
    well_formed = isinstance(manifest, dict) and manifest.keys() == {"files", "kind"}
    if not well_formed or not isinstance(manifest["files"], dict):
        raise ArtifactError(f"{folder / MANIFEST}: expected kind and files, found another form; {cure}")
    return manifest


def _seal(filling: Path, kind: str, config: dict[str, Any], card: str) -> None:
    write_json(filling / CONFIG, config)
    if card:
        write_bytes(filling / "README.md", card.encode())
    files = {_relative(filling, path): sha256(path, sync=True) for path in _files(filling)}
    write_json(filling / MANIFEST, {"kind": kind, "files": files})
    folders = [path for path in sorted(filling.rglob("*"), reverse=True) if path.is_dir()]
    for inner in [*folders, filling]:
        if any(inner.iterdir()):
            sync_folder(inner)
        else:
            inner.rmdir()  # no manifest names it, and DVC keeps none


def _files(folder: Path) -> list[Path]:
    """Return all files below a folder but BESIDE, sorted; links into a DVC cache are files.

    Raises ArtifactError for another link and for a special file.
    """
    files = []
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).parts[0] in BESIDE:
            continue
        linked = path.is_symlink() and not replace_folder.is_cached(path)
        if linked or not (path.is_file() or path.is_dir()):
            raise ArtifactError(f"{path}: expected a regular file, found a link or a special file")
        if path.is_file():
            files.append(path)
    return files


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _array(name: str, tensor: Any) -> np.ndarray:
    try:
        array = tensor if isinstance(tensor, np.ndarray | np.generic) else tensor.detach().cpu().numpy()
        # safetensors writes a transposed view's memory as it lies, under the transposed shape.
        return np.asarray(array, order="C")
    except TypeError as error:
        raise ArtifactError(f"tensor {name!r}: expected a dtype NumPy has, found {tensor.dtype}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} ({type(value).__name__}) has no JSON form")


def _culprit(obj: Any, key: str = "the value") -> str:
    """Return the dotted key of the first number that is not finite."""
    inner = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list | tuple) else ()
    for name, value in inner:
        if bad_key := _culprit(value, str(name) if key == "the value" else f"{key}.{name}"):
            return bad_key
    return key if isinstance(obj, float | np.floating) and not np.isfinite(obj) else ""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
