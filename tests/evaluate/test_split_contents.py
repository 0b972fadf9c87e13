"""Which items of a large split are evaluated."""

from sightline.data.shards import Items, ShardWriter
from sightline.evaluate.split_contents import chosen_lines


def items(folder, names, **more) -> Items:
    with ShardWriter(folder, 2**20) as writer:
        for name in names:
            writer.add({"id": name, "split": "test", "captions": ["a mug"], **more}, b"picture")
    return Items(folder)


def chosen(folder, names, limit, **more) -> list[str]:
    table = items(folder, names, **more)
    return [table[line]["id"] for line in chosen_lines(table, list(range(len(names))), limit)]


def test_items_of_a_sorted_table_are_drawn_from_all_of_it(tmp_path):
    names = [f"shirt{n:03d}" for n in range(100)] + [f"shoe{n:03d}" for n in range(100)]
    first = chosen(tmp_path / "a", names, 40)
    assert len(first) == 40 and first == sorted(first)
    assert 10 <= sum(name.startswith("shoe") for name in first) <= 30
    # The same whatever the order, and a new row takes the place of one at most.
    assert set(chosen(tmp_path / "b", names[::-1], 40)) == set(first)
    assert len(set(first) - set(chosen(tmp_path / "c", [*names, "sock"], 40))) <= 1


def test_a_small_split_and_no_limit_take_all(tmp_path):
    names = ["b", "a", "c"]
    assert chosen(tmp_path / "a", names, 3) == names
    assert chosen(tmp_path / "b", names, 0) == names


def test_scenes_are_random_already_and_taken_from_the_first(tmp_path):
    names = [f"s{n}" for n in range(30)]
    assert chosen(tmp_path / "a", names, 5, scene={"objects": []}) == names[:5]
