"""An index of a user's own items: changed, searched, and replaced while it is searched."""

import threading
from itertools import chain

import numpy as np
import pytest

from sightline.core import artifacts
from sightline.search import vector_index as indexes
from sightline.search.item_index import Entry
from sightline.search.user_index import ReloadingIndex, kept_blocks, open_user_index, write
from sightline.search.vector_index import SearchIndexError
from tests.support.indexes import DIGEST, made, opened


def saved(rows, folder):
    return write(folder, DIGEST, 8, rows.blocks(), None)


def changed(folder, new=None, gone=()):
    """The index in `folder` with `new` rows added and the ids `gone` taken out."""
    index = open_user_index(folder, DIGEST)
    kept = kept_blocks(index, gone, [entry.id for entry in new.entries] if new else ())
    return write(folder, DIGEST, 8, chain(kept, new.blocks() if new else ()), None)


def test_adding_replaces_equal_ids_and_deleting_forgets(tmp_path):
    held, new = made("abcd"), made("cx", seed=1)
    saved(held, tmp_path / "index")
    merged = changed(tmp_path / "index", new)
    assert [entry.id for entry in merged.entries()] == ["a", "b", "d", "c", "x"]
    number = merged.find("c")
    assert merged.vector(number, "image") is None and merged.thumbnail(number) is None
    np.testing.assert_array_equal(merged.vector(number, "text"), new.texts["c"])
    less = changed(tmp_path / "index", gone=["c", "x"])
    assert list(less.entries()) == held.without("c").entries
    with pytest.raises(SearchIndexError, match="no item 'zz'.*nothing changed"):
        changed(tmp_path / "index", gone=["a", "zz"])
    assert len(open_user_index(tmp_path / "index", DIGEST)) == 3


@pytest.mark.parametrize("flat", [5, 10**6])
def test_a_changed_index_is_the_index_built_at_once(tmp_path, flat, monkeypatch):
    """To the byte, exact or in inverted lists, whatever the blocks."""
    monkeypatch.setattr(indexes, "FLAT_UP_TO", flat)
    monkeypatch.setattr("sightline.search.user_index.COPIED", 7)
    names = [f"item-{number}" for number in range(60)]
    whole = made(names)
    saved(whole.without(names[45:]), tmp_path / "index")
    changed(tmp_path / "index", whole.without(names[:45]))
    changed(tmp_path / "index", gone=[names[3], names[59]])
    saved(whole.without([names[3], names[59]]), tmp_path / "whole")
    assert (tmp_path / "index" / "manifest.json").read_bytes() == (
        tmp_path / "whole" / "manifest.json"
    ).read_bytes()


def test_another_model_is_refused(tmp_path):
    saved(made("abc"), tmp_path / "index")
    for read in (open_user_index, ReloadingIndex):
        with pytest.raises(SearchIndexError, match="built with the model"):
            read(tmp_path / "index", "e" * 64)


def test_a_damaged_large_file_is_noticed_by_a_full_verification(tmp_path):
    """Loading looks at its size; `sightline doctor` reads it."""
    saved(made("abc"), tmp_path / "index")
    path = tmp_path / "index" / "thumbnails.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"!")
    artifacts.load(tmp_path / "index", "index")
    with pytest.raises(artifacts.ArtifactError, match=r"thumbnails\.bin: expected sha256"):
        artifacts.load(tmp_path / "index", "index", everything=True)
    path.write_bytes(data + b"!")
    with pytest.raises(artifacts.ArtifactError, match=r"thumbnails\.bin: expected \d+ bytes"):
        artifacts.load(tmp_path / "index", "index")


def test_other_pictures_leave_out_the_picture_itself_and_items_without_words(tmp_path):
    held = made([f"item-{number}" for number in range(9)])  # pictures: 1, 2, 4, 5, 7, 8
    held.pictures["item-5"] = held.pictures["item-4"]
    held.entries[8] = Entry("item-8", "", [], True, True)
    gallery = opened(held, tmp_path / "i")
    asked = np.stack([held.pictures[f"item-{number}"] for number in (4, 1)])
    found = gallery.similar_pictures(asked, 3)
    for row, (own, rest) in enumerate([("45", "127"), ("1", "2457")]):
        near = sorted(rest, key=lambda number: -float(asked[row] @ held.pictures[f"item-{number}"]))[:3]
        assert [hit.id for hit in found[row]] == [f"item-{number}" for number in near]
        assert not {hit.id[-1] for hit in found[row]} & set(own)
    assert [len(hits) for hits in gallery.similar_pictures(asked, 50)] == [3, 4]
    assert gallery.similar_pictures(asked, 0) == [[], []]


def test_what_is_told_of_an_item_is_all_of_a_table_and_the_first_caption_of_a_data_set():
    assert Entry("a", "cup", ["cup", "a red cup"], True, True).description == "cup. a red cup"
    assert Entry("a", "", ["a red cup", "a cup"], True, True).description == "a red cup"
    assert Entry("a", "", [], True, False).description == ""


def test_a_search_sees_one_whole_index_while_it_is_replaced(tmp_path):
    """The items of generation g are named g:0.. and there are 5 + g of them: a mixture would show."""

    def generation(number):
        return made([f"{number}:{place}" for place in range(5 + number)], seed=number)

    folder = tmp_path / "index"
    saved(generation(0), folder)
    watched, failures, stop, seen = ReloadingIndex(folder, DIGEST), [], threading.Event(), set()

    def look(read):
        while not stop.is_set():
            try:
                gallery = read()
                hits = gallery.search(np.ones((1, 8), np.float32) / np.sqrt(8), 100, "text")[0]
                numbers = {hit.id.split(":")[0] for hit in hits}
                assert len(numbers) == 1 and len(hits) == 5 + int(min(numbers)) == len(gallery)
                seen.update(numbers)
            except Exception as error:  # told by the test's own thread
                failures.append(error)
                return

    readers = [threading.Thread(target=look, args=(watched.item_index,)) for _ in range(2)]
    readers.append(threading.Thread(target=look, args=(lambda: open_user_index(folder, DIGEST),)))
    for reader in readers:
        reader.start()
    for number in range(1, 15):
        saved(generation(number), folder)
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures, failures[0]
    assert len(watched.item_index()) == 19 and len(seen) > 1


def test_an_open_index_outlives_its_folder(tmp_path):
    """What is searched first after the replacement is still of the old index."""
    rows = made("abc")
    old = saved(rows, tmp_path / "index")
    saved(made("xyz", seed=1), tmp_path / "index")
    for kind, of in (("text", rows.texts), ("image", rows.pictures)):
        assert old.search(of["b"][None], 1, kind)[0][0].id == "b"
    assert old.thumbnail(old.find("b")) == rows.thumbnails["b"]


def test_a_damaged_replacement_leaves_the_old_index_in_use(tmp_path, caplog):
    folder = tmp_path / "index"
    saved(made("abc"), folder)
    watched = ReloadingIndex(folder, DIGEST)
    saved(made("abcd"), folder)
    (folder / "entries.jsonl").write_text("broken")
    assert len(watched.item_index()) == 3
    assert "the new index is not used" in caplog.text and "entries.jsonl" in caplog.text
    assert len(watched.item_index()) == 3 and len(caplog.records) == 1  # told once, not with every search
    saved(made("abcde"), folder)
    assert len(watched.item_index()) == 5
