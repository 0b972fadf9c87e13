"""`sightline estimate` before anything is built: sizes, minutes, what cannot be taught; what cannot work is
one sentence and exit code 1; nothing is fetched."""

import re

import pytest

from sightline.cli.rebuild_estimate import cost_model, data_sample, estimate_lines, rehearsal
from sightline.core.params import edit, loader
from sightline.data.shards import Items
from tests.cli.test_init_command import init, picture
from tests.support import command_line

HEADER = "title,description,image_url,id\n"
TINY = {
    "text.width": 32, "text.layers": 1, "text.heads": 2, "vision.width": 32, "vision.image_size": 32,
    "finetune.width": 32, "align.embed_dim": 32, "pretrain.batch_size": 16, "align.batch_size": 16,
    "align.matching_samples": 8, "finetune.batch_size": 16, "launch": "python",
}  # fmt: skip


def repository(folder, rows):
    (folder / "items.csv").write_text(HEADER + "\n".join(rows) + "\n")
    init(folder, "mine", "--table", "items.csv")
    return folder / "mine"


def row(folder, number: int) -> str:
    picture(folder / "pictures" / f"{number}.png", number)
    return f"Red cup {number},A red cup on a blue table,pictures/{number}.png,i{number}"


def test_sizes_minutes_and_what_cannot_be_taught(tmp_path):
    made = repository(tmp_path, [row(tmp_path, number) for number in range(60)])
    edit.fill(made / "params.yaml", TINY)
    before = sorted(path for path in made.rglob("*") if ".git" not in path.parts)
    said = command_line.run(made, "estimate", code=0).stdout
    assert re.search(r"estimate: 60 items \(.*train \d+", said)
    assert re.search(r"about [1-9]\d? min on this machine", said) and "GiB of disk" in said
    assert "questions" in said and re.search(r"test has \d pictures: .* known to \d+ points at best", said)
    assert sorted(path for path in made.rglob("*") if ".git" not in path.parts) == before


@pytest.mark.parametrize(
    ("count", "message"), [(1, "at least 3 items with a picture are needed, 1 are there")]
)
def test_what_cannot_work_is_one_sentence(tmp_path, count, message):
    made = repository(tmp_path, [row(tmp_path, number) for number in range(count)])
    done = command_line.run(made, "estimate", code=1)
    assert message in done.stderr and done.stderr.count("estimate: ") == 1


def test_pictures_of_the_internet_are_counted_and_not_fetched(tmp_path):
    rows = [f"Red cup {n},A red cup,https://example.invalid/{n}.png,i{n}" for n in range(1200)]
    params = loader.load_params(repository(tmp_path, rows) / "params.yaml")
    data = params.data.replaced(path=str(tmp_path / "items.csv"))
    sample = data_sample.take(params.model_copy(update={"data": data}), tmp_path / "sample")
    assert sum(sample.items.values()) == pytest.approx(1200, abs=2)
    assert sample.remote == pytest.approx(1200, abs=2)
    assert sample.taken["train"] == data_sample.PER_SPLIT and sample.items["train"] > 900
    items = Items(tmp_path / "sample" / "data" / "raw")
    shown = {items.image_bytes(items[n]) for n in range(len(items))}
    assert len(shown) == len(items), "no two stand-ins are equal, or they would count as duplicates"


def test_minutes_follow_the_data_and_the_parameters(tmp_path):
    params = loader.load_params(repository(tmp_path, [row(tmp_path, 0)]) / "params.yaml")
    one = params.model_copy(update={"launch": "python"})
    per_item = {"download": 0.0, "convert": 0.0, "pretrain": 0.01, "align": 0.02, "finetune": 0.03}

    def minutes(count: int, of=one) -> dict[str, float]:
        return cost_model.minutes(of, cost_model.Measured(per_item, {"train": count, "val": 0, "test": 0}))

    more, less = minutes(6000), minutes(0)
    assert more["align"] - less["align"] == pytest.approx(0.02 * 6000 * params.align.epochs / 60)
    assert more["pretrain"] - less["pretrain"] == pytest.approx(0.01 * 6000 * params.pretrain.epochs / 60)
    assert more["evaluate"] == less["evaluate"]
    longer = one.model_copy(update={"align": one.align.replaced(epochs=2 * one.align.epochs)})
    assert minutes(6000, longer)["align"] - less["align"] == pytest.approx(
        2 * (more["align"] - less["align"])
    )


def test_a_small_table_takes_the_steps_that_it_takes_at_least(tmp_path):
    params = loader.load_params(repository(tmp_path, [row(tmp_path, 0)]) / "params.yaml")
    section = params.align.replaced(epochs=2, batch_size=64, min_steps=600)
    one = params.model_copy(update={"launch": "python", "align": section})
    per_item = {"download": 0.0, "convert": 0.0, "align": 0.01}

    def seconds(train: int) -> float:
        return 60 * cost_model.minutes(one, cost_model.Measured(per_item, {"train": train}))["align"]

    assert seconds(1000) - seconds(0) == pytest.approx(600 * 64 * 0.01)
    assert seconds(50_000) - seconds(0) == pytest.approx(2 * 50_000 * 0.01)


def test_a_rehearsal_trains_its_few_steps_whatever_a_table_takes_at_least(tmp_path):
    params = loader.load_params(repository(tmp_path, [row(tmp_path, 0)]) / "params.yaml")
    assert params.align.min_steps > 3
    trained = []
    rehearsal._train(lambda given: trained.append(given.align), params, "align", 320)
    assert [(round(it.epochs * (320 // it.batch_size)), it.min_steps) for it in trained] == [(1, 0), (3, 0)]


def test_what_is_left_out_is_of_the_whole_data_and_not_of_its_sample():
    """480 pictures of a sample stand for 1,639; of the 40 val questions for so many more are 164."""
    counts = {
        "train": {"color": 900, "describe": 480},
        "val": {"color": 40},
        "test": {"color": 50, "pope_random": 9},
    }
    sentence = "no questions of colours: too few captions name one"
    vqa = {"counts": counts, "images": {"train": 480, "val": 45, "test": 46}, "left_out": [sentence]}
    assert estimate_lines.left_out(vqa, {"train": 1639, "val": 184, "test": 177}) == [f"left out: {sentence}"]
    few = estimate_lines.left_out(vqa, {"train": 480, "val": 45, "test": 46})
    assert any("train has 480 pictures" in line for line in few)
    assert any("val has 40 short questions" in line for line in few)
