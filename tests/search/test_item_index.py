"""An index folder: what is written is found, read in place, checked where it is read, or refused."""

import json
import subprocess
import sys

import faiss
import numpy as np
import pytest

from sightline.core.atomic_io import ArtifactError
from sightline.core.checked_files import CHUNK
from sightline.search import vector_index as indexes
from sightline.search.index_writer import Block, IndexWriter
from sightline.search.item_index import KINDS, Entry, ItemIndex, file_names
from sightline.search.vector_index import SearchIndexError, fuse
from tests.support.indexes import DIGEST, made, opened, unit

NAMES = [f"item-{number}" for number in range(30)]


def in_memory(rows, kind):
    """(ids, FAISS's own exact index in memory) of a kind, fused by hand."""
    of = {"image": rows.pictures, "text": rows.texts}.get(kind) or {
        name: fuse(rows.pictures[name], text) if name in rows.pictures else text
        for name, text in rows.texts.items()
    }
    ids = [entry.id for entry in rows.entries if entry.id in of]
    index = faiss.IndexFlatIP(len(of[ids[0]]))
    index.add(np.stack([of[name] for name in ids]))
    return ids, index


@pytest.mark.parametrize("kind", KINDS)
def test_the_mapped_index_finds_what_one_in_memory_finds(tmp_path, kind):
    """The same ids in the same order, the same scores to the bit."""
    rows, queries = made(NAMES), unit(9, 7, 8)
    ids, plain = in_memory(rows, kind)
    scores, positions = plain.search(queries, 5)
    found = opened(rows, tmp_path / "i").search(queries, 5, kind)
    assert [[hit.id for hit in hits] for hits in found] == [[ids[p] for p in row] for row in positions]
    np.testing.assert_array_equal([[hit.score for hit in hits] for hits in found], scores)


def test_every_item_is_found_by_each_of_its_vectors_and_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setattr(indexes, "FLAT_UP_TO", 5)
    rows = made(NAMES)
    index = opened(rows, tmp_path / "i", "auto")
    assert index.vectors("text").factory == "IVF4,Flat;nprobe=8"
    assert index.counts == {"image": 20, "text": 30, "fused": 30} and len(index) == 30
    for number, entry in enumerate(rows.entries):
        assert index.find(entry.id) == number and index.entry(number) == entry
        assert index.thumbnail(number) == rows.thumbnails.get(entry.id)
        for kind, of in (("image", rows.pictures), ("text", rows.texts)):
            held = index.vector(number, kind)
            assert (held is None) == (entry.id not in of)
            if held is not None:
                np.testing.assert_array_equal(held, of[entry.id])
                hit = index.search(held[None], 1, kind)[0][0]
                assert (hit.id, hit.entry, hit.source) == (entry.id, number, entry.source)
    assert list(index.entries()) == rows.entries
    for strange in ("nobody", "", "../item-1", "item-1\0", "x" * 10_000, "ä", '"'):
        assert index.find(strange) is None


def test_strange_ids_and_texts_come_back_as_they_went_in(tmp_path):
    names = ["../../etc/passwd", 'say "hi"', "naïve 猫", "a\nb", " ", "<script>"]
    index = opened(made(names), tmp_path / "i")
    assert [index.entry(index.find(name)).id for name in names] == names


def test_an_empty_kind_finds_nothing(tmp_path):
    rows = made(NAMES[:3])
    rows.pictures.clear()
    rows.entries = [Entry(e.id, e.title, e.captions, False, True) for e in rows.entries]
    index = opened(rows, tmp_path / "i")
    assert index.search(unit(0, 1, 8), 3, "image") == [[]] and index.vector(0, "image") is None
    assert index.similar_pictures(unit(0, 1, 8), 3) == [[]]


def test_an_id_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(SearchIndexError, match="'b' appears more than once"):
        opened(made(["a", "b", "c", "b"]), tmp_path / "i")


@pytest.mark.parametrize(
    "split,said",
    [("all", "3 items of all splits"), ("test", "3 items of the split test"), ("", "3 items")],
)
def test_an_index_says_what_is_searched(tmp_path, split, said):
    assert opened(made("abc"), tmp_path / "i", split=split).what == said


def test_equal_items_give_equal_bytes(tmp_path):
    for name in "ab":
        opened(made(NAMES), tmp_path / name, "IVF4,Flat")
    one, other = (sorted((tmp_path / name).iterdir()) for name in "ab")
    assert [(path.name, path.read_bytes()) for path in one] == [
        (path.name, path.read_bytes()) for path in other
    ]


def test_a_model_or_a_format_that_does_not_fit_is_refused(tmp_path):
    opened(made("abc"), tmp_path / "i")
    with pytest.raises(SearchIndexError, match=r"dddddddddddd.*eeeeeeeeeeee.*dvc repro index"):
        ItemIndex(tmp_path / "i", "e" * 64)
    header = json.loads((tmp_path / "i" / "index.json").read_text())
    (tmp_path / "i" / "index.json").write_text(json.dumps(header | {"format": 1}))
    with pytest.raises(SearchIndexError, match="format 2.*dvc repro index.*sightline index"):
        ItemIndex(tmp_path / "i", DIGEST)
    (tmp_path / "old" / "image").mkdir(parents=True)  # as up to 0.10.0
    (tmp_path / "old" / "gallery.jsonl").write_text("{}\n")
    with pytest.raises(SearchIndexError, match="an earlier version; make it again"):
        ItemIndex(tmp_path / "old", DIGEST)


def use(index, number):
    """All that an index is asked for, about one item."""
    for kind in KINDS:
        index.search(unit(3, 1, 8), 30, kind)
        index.vector(number, kind)
    index.thumbnail(number)
    return index.entry(index.find(f"item-{number}"))


@pytest.mark.parametrize("name", file_names())
@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat;nprobe=4"])
def test_damage_is_noticed_by_whoever_would_read_it(tmp_path, name, factory):
    opened(made(NAMES), tmp_path / "i", factory)
    path = tmp_path / "i" / name
    data = path.read_bytes()
    for place in {0, len(data) // 2, len(data) - 1}:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ArtifactError, match=f"{name}: expected sha256"):
            use(ItemIndex(tmp_path / "i", DIGEST), 4)
    path.write_bytes(data[:-1])
    with pytest.raises(ArtifactError, match=f"{name}: expected {len(data)} bytes"):
        ItemIndex(tmp_path / "i", DIGEST)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name}: found no such file"):
        ItemIndex(tmp_path / "i", DIGEST)
    path.write_bytes(data)
    assert use(ItemIndex(tmp_path / "i", DIGEST), 4).id == "item-4"


def test_a_search_among_inverted_lists_checks_the_lists_that_it_visits(tmp_path):
    """One list is damaged: queries of other lists are answered, those of this one are not."""
    rows = made([f"item-{number}" for number in range(40_000)])
    index = opened(rows, tmp_path / "i", "IVF64,Flat;nprobe=1")
    path = tmp_path / "i" / "text.faiss"
    data = bytearray(path.read_bytes())
    assert len(data) > 1.5 * CHUNK
    data[-1] ^= 1
    path.write_bytes(data)
    damaged, refused = ItemIndex(tmp_path / "i", DIGEST), 0
    for name in NAMES:
        query = rows.texts[name][None]
        try:
            assert damaged.search(query, 3, "text") == index.search(query, 3, "text")
        except ArtifactError:
            refused += 1
    assert 0 < refused < len(NAMES)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 3}', '{"../a": {"size": 0, "sha256": []}}', "{}",
                                  '{"text.faiss": {"size": 5, "sha256": []}}'])  # fmt: skip
def test_a_foreign_list_of_chunks_is_refused(tmp_path, text):
    opened(made("abc"), tmp_path / "i")
    (tmp_path / "i" / "chunks.json").write_text(text)
    with pytest.raises(ValueError, match="chunks.json|lacks image.faiss"):
        ItemIndex(tmp_path / "i", DIGEST)


OPEN = """
import sys
import numpy as np
from pathlib import Path
from sightline.search.item_index import ItemIndex
def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
before = kib("VmRSS")
index = ItemIndex(Path(sys.argv[1]), "d" * 64)
opened = kib("VmRSS") - before
query = np.zeros((1, 16), np.float32); query[0, 0] = 1
hits = index.search(query, 5, "text")[0]
assert len(hits) == 5
read = sum(sum(file._seen) for name, file in index._files.items() if name.startswith("entries"))
print(opened, read)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_index_of_a_hundred_thousand_opens_without_reading_its_entries(tmp_path):
    """100,000 entries of 300 bytes are 30 MB, as objects of Python 100 MB. Opened, the process grows by under
    4 MiB (nine maps, the list of chunks); a search of five hits reads at most five chunks of entries and two
    of offsets, of the 31."""
    count, texts = 100_000, unit(1, 100_000)
    with IndexWriter(tmp_path / "i", 16) as writer:
        for start in range(0, count, 10_000):
            entries = [
                Entry(f"item-{number}", "t" * 100, [f"{number} " * 25], False, True)
                for number in range(start, start + 10_000)
            ]
            rows = texts[start : start + 10_000]
            writer.add(Block(entries, rows[:0], rows, [b""] * len(entries)))
        writer.finish("Flat", DIGEST, "all")
    size = (tmp_path / "i" / "entries.jsonl").stat().st_size
    assert size > 25 * CHUNK
    done = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path / "i"], capture_output=True, text=True, check=True
    )
    opened_kib, chunks = map(int, done.stdout.split())
    assert opened_kib < 4096 and chunks <= 7


def test_a_very_large_index_keeps_its_vectors_on_the_disk(tmp_path, monkeypatch):
    """Search, entries and damage through the files alone; the codes are about an eighth of the vectors."""
    names = [f"item {number}" for number in range(700)]
    rows = made(names)
    whole = opened(rows, tmp_path / "whole")
    monkeypatch.setattr("sightline.search.vector_index.FLAT_UP_TO", 50)
    monkeypatch.setattr("sightline.search.vector_index.QUANTIZED_ABOVE", 600)
    index = opened(rows, tmp_path / "codes", factory="auto")
    vectors = tmp_path / "codes" / "text.vectors"
    assert vectors.stat().st_size == 700 * 8 * 4 and not (tmp_path / "codes" / "image.vectors").exists()
    query_E = rows.texts["item 123"]
    for kind in ("text", "image"):
        expected, found = (one.search(query_E[None], 1, kind)[0] for one in (whole, index))
        if kind == "text":
            assert found[0].id == expected[0].id == "item 123"
    np.testing.assert_array_equal(index.vector(5, "text"), rows.texts["item 5"])
    damaged = bytearray(vectors.read_bytes())
    damaged[123 * 32] ^= 1
    del index
    vectors.write_bytes(damaged)
    with pytest.raises(ArtifactError, match=r"text\.vectors"):
        ItemIndex(tmp_path / "codes", DIGEST).search(query_E[None], 1, "text")
    vectors.unlink()
    with pytest.raises(ArtifactError, match=r"text\.vectors"):
        ItemIndex(tmp_path / "codes", DIGEST)
