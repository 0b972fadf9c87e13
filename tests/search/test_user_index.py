"""`sightline index`: a user's table encoded once, changed, searched, and replaced while it is searched."""

import threading
from pathlib import Path

import numpy as np
import pytest

from sightline.search import vector_index as indexes
from sightline.search.item_index import Entry
from sightline.search.user_index import ReloadingIndex, UserIndex, open_user_index
from sightline.search.vector_index import SearchIndexError

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "d" * 64


def made(names, seed=0, width=8):
    """A catalog of random unit vectors; every third item has no picture."""
    draw = np.random.default_rng(seed)
    entries, pictures, texts = [], {}, {}
    for number, name in enumerate(names):
        rows = draw.normal(size=(2, width)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        entries.append(Entry(name, f"title {name}", [f"title {name}"], bool(number % 3), True))
        texts[name] = rows[0]
        if number % 3:
            pictures[name] = rows[1]
    return UserIndex(entries, pictures, texts, width)


def same(one, other):
    assert one.entries == other.entries
    for kind in ("pictures", "texts"):
        left, right = getattr(one, kind), getattr(other, kind)
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])


def test_what_is_saved_is_loaded(tmp_path):
    held = made("abcdef")
    held.save(tmp_path / "index", DIGEST)
    same(UserIndex.load(tmp_path / "index", DIGEST), held)


def test_adding_replaces_equal_ids_and_deleting_forgets(tmp_path):
    held, new = made("abcd"), made("cx", seed=1)
    merged = held.merged(new)
    assert [entry.id for entry in merged.entries] == ["a", "b", "d", "c", "x"]
    assert "c" not in merged.pictures and merged.texts["c"] is new.texts["c"]
    same(merged.without("cx"), held.without("c"))
    with pytest.raises(SearchIndexError, match="no item 'zz'.*nothing changed"):
        held.without(["a", "zz"])


def test_a_changed_index_is_the_index_built_at_once(tmp_path):
    whole = made("abcdefghij")
    part = whole.without("ghij")
    part.save(tmp_path / "index", DIGEST)
    grown = UserIndex.load(tmp_path / "index", DIGEST).merged(whole.without("abcdef"))
    grown.save(tmp_path / "index", DIGEST)
    whole.save(tmp_path / "whole", DIGEST)
    assert (tmp_path / "index" / "manifest.json").read_bytes() == (
        tmp_path / "whole" / "manifest.json"
    ).read_bytes()


def test_another_model_is_refused(tmp_path):
    made("abc").save(tmp_path / "index", DIGEST)
    for read in (UserIndex.load, open_user_index, ReloadingIndex):
        with pytest.raises(SearchIndexError, match="built with the model"):
            read(tmp_path / "index", "e" * 64)


def test_many_items_get_inverted_lists(tmp_path, monkeypatch):
    monkeypatch.setattr(indexes, "FLAT_UP_TO", 5)
    held = made([f"item-{number}" for number in range(60)])
    held.save(tmp_path / "index", DIGEST)
    gallery = open_user_index(tmp_path / "index", DIGEST)
    assert gallery.indexes["fused"].factory == "IVF8,Flat;nprobe=8"
    for name in held.texts:
        assert gallery.search(held.texts[name][None], 1, "text")[0][0].id == name
        np.testing.assert_array_equal(gallery.vector(name, "text"), held.texts[name])


def test_other_pictures_leave_out_the_picture_itself_and_items_without_words():
    held = made([f"item-{number}" for number in range(9)])  # pictures: 1, 2, 4, 5, 7, 8
    held.pictures["item-5"] = held.pictures["item-4"]
    held.entries[8] = Entry("item-8", "", [], True, True)
    gallery = held.item_index()
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


def test_an_item_without_a_picture_has_no_image_vector():
    held = made("ab")
    gallery = held.item_index()
    assert gallery.vector("a", "image") is None and gallery.vector("nobody", "fused") is None
    np.testing.assert_array_equal(gallery.vector("a", "fused"), held.texts["a"])


def test_a_search_sees_one_whole_index_while_it_is_replaced(tmp_path):
    """The items of generation g are named g:0.. and there are 5 + g of them: a mixture would show."""

    def generation(number):
        return made([f"{number}:{place}" for place in range(5 + number)], seed=number)

    folder = tmp_path / "index"
    generation(0).save(folder, DIGEST)
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
        generation(number).save(folder, DIGEST)
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures, failures[0]
    assert len(watched.item_index()) == 19 and len(seen) > 1


def test_a_damaged_replacement_leaves_the_old_index_in_use(tmp_path, caplog):
    folder = tmp_path / "index"
    made("abc").save(folder, DIGEST)
    watched = ReloadingIndex(folder, DIGEST)
    made("abcd").save(folder, DIGEST)
    (folder / "gallery.jsonl").write_text("broken")
    assert len(watched.item_index()) == 3
    assert "the new index is not used" in caplog.text and "gallery.jsonl" in caplog.text
    assert len(watched.item_index()) == 3 and len(caplog.records) == 1  # told once, not with every search
    made("abcde").save(folder, DIGEST)
    assert len(watched.item_index()) == 5
