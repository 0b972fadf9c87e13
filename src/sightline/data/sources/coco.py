"""COCO captions: 118,287 + 5,000 photos with about five captions each, or any files in COCO's form.

X. Chen et al.: Microsoft COCO captions (arXiv 1504.00325). Of the release of 2017, from its three archives or
from unpacked folders, val2017 is the test split, and a share of train2017, chosen by a hash of the photo's
number, is val. Any other folder: every JSON file with images and annotations (captions, or categories, whose
names are the caption then) or A. Karpathy's dataset_coco.json; photos may lie anywhere below it, splits are
those in the names of files and folders. Caption files are parsed whole (92 MB of JSON for train2017, under
1 GiB in memory). A row is one caption.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from sightline.core import runtime
from sightline.core.params.data_params import DataParams
from sightline.data import fetch
from sightline.data.archives import Archive
from sightline.data.intake import captions_files
from sightline.data.intake.build_items import Joining, build_items
from sightline.data.intake.photo_files import PhotoFiles
from sightline.data.intake.pictures import PictureFolder
from sightline.data.intake.rows import Location, PictureError, Refusal, Row

YEAR_SETS = {"val2017": "zips/val2017.zip", "train2017": "zips/train2017.zip"}
ANNOTATIONS = "annotations/annotations_trainval2017.zip"
MAX_ARCHIVE_BYTES = 64 << 30
MAX_JSON_BYTES = 2 << 30
MAX_PHOTO_BYTES = 64 << 20
MAX_ENTRIES = 1_000_000
Open = Callable[[str, int], bytes]  # (member, most bytes) -> its bytes; raises PictureError


def build(params: DataParams, seed: int, out: Path, online: bool = True) -> dict:
    """Fills `out` with shards and items; returns counts of captions (rows) and of items per split.

    With `path`, archives or folders are taken from there, otherwise the archives of 2017 from `base_url`.
    Photos come in the order of their numbers; nothing depends on `seed`. Raises ValueError for a folder
    without captions and for a file that is not in COCO's form.
    """
    joining = Joining(by_picture=True, needs_picture=True)
    with ExitStack() as stack:
        if params.has_path and not _is_release(Path(params.path)):
            folder = PictureFolder(Path(params.path), params.timeout_s, online=online)
            return build_items(_any_rows(folder), folder.read, params, out, joining)
        annotations = _reader(params, ANNOTATIONS, stack)
        readers = {year_set: _reader(params, archive, stack) for year_set, archive in YEAR_SETS.items()}

        def read(location: Location) -> bytes:
            return readers[str(location).split("/")[0]](str(location), MAX_PHOTO_BYTES)

        return build_items(_release_rows(annotations), read, params, out, joining)


def _is_release(folder: Path) -> bool:
    """Whether a folder has the files of 2017: caption files, or one of the archives."""
    named = [f"annotations/captions_{year_set}.json" for year_set in YEAR_SETS]
    archives = [
        place for name in (ANNOTATIONS, *YEAR_SETS.values()) for place in (name, name.rsplit("/")[-1])
    ]
    return any((folder / name).is_file() for name in archives) or all(
        (folder / name).is_file() for name in named
    )


def _reader(params: DataParams, archive: str, stack: ExitStack) -> Open:
    name = archive.rsplit("/", 1)[-1]
    if params.has_path:
        folder = Path(params.path)
        local = next((path for path in (folder / archive, folder / name) if path.is_file()), None)
        if local is None:
            return _folder_reader(PictureFolder(folder, params.timeout_s))
        url = local.resolve().as_uri()
    else:
        url = f"{params.base_url}/{archive}"
    path = fetch.cached(url, params.checksums.get(name), params.timeout_s, MAX_ARCHIVE_BYTES)
    opened, lock = stack.enter_context(Archive(path, MAX_ARCHIVE_BYTES, MAX_ENTRIES)), threading.Lock()
    members = set(opened.names)

    def read(member: str, most: int) -> bytes:
        if member not in members:
            raise PictureError("missing", f"{name} has no {member}")
        with lock:  # the archive is one file
            return opened.read(member, most)

    return read


def _folder_reader(folder: PictureFolder) -> Open:
    return lambda member, most: folder.read(member)


def _release_rows(annotations: Open) -> Iterator[Row | Refusal]:
    for year_set in YEAR_SETS:
        member = f"annotations/captions_{year_set}.json"
        try:
            data = captions_files.load(annotations(member, MAX_JSON_BYTES), member)
        except PictureError as error:
            needed = ANNOTATIONS.rsplit("/")[-1]
            raise ValueError(
                f"{member} was not found ({error}); coco needs {needed} or its folder"
            ) from error
        yield from _coco(data, member, _placed_in(year_set), "test" if year_set == "val2017" else "")


def _placed_in(year_set: str) -> captions_files.Find:
    return lambda name, *near: f"{year_set}/{name}"


def _any_rows(folder: PictureFolder) -> Iterator[Row | Refusal]:
    """The captions of every file in COCO's form below a folder; Karpathy's file alone, where it is there."""
    paths = list(folder.files())
    find, used = PhotoFiles(paths).find, []
    names = [path for path in paths if path.endswith(".json")]
    for name in [path for path in names if "dataset_" in path] or names:
        file = folder.folder / name
        if file.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{file} has {file.stat().st_size} bytes, at most {MAX_JSON_BYTES} are read")
        try:
            data = captions_files.load(file.read_bytes(), name)
        except ValueError as error:
            runtime.log(f"left out: {error}")
            continue
        if "images" in data and "annotations" not in data and "dataset_" in name:
            used.append(name)
            yield from captions_files.karpathy(data, name, find)
        elif {"images", "annotations"} <= data.keys():
            used.append(name)
            yield from _coco(data, name, find, None)
    if not used:
        raise ValueError(
            f"data.path: {folder.folder} has no COCO file; expected annotations/captions_train2017.json, "
            "another JSON file with images and annotations, or dataset_coco.json"
        )
    runtime.log(
        f"captions from {', '.join(used[:5])}" + (f" and {len(used) - 5} more" if len(used) > 5 else "")
    )


def _coco(data: dict, name: str, find: captions_files.Find, split: str | None) -> Iterator[Row | Refusal]:
    try:
        yield from captions_files.coco(data, name, find, split)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} is not a COCO file: {type(error).__name__} {error}") from error
