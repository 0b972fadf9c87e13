"""A pretrained dual encoder tuned three ways, from a checkpoint that transformers made a moment ago."""

from pathlib import Path

import pytest

from sightline_lab.pretrained import tuning_page, tuning_study

ROOT = Path(__file__).resolve().parents[2]
SIZES = tuning_study.Sizes(pretrained=64, steps=2, train=64, held_out=8, epochs=2)


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return tuning_study.measure(ROOT, tmp_path_factory.mktemp("study"), SIZES, 7)


@pytest.mark.parametrize("kind", tuning_study.KINDS)
def test_tuning_starts_at_what_transformers_computes_and_never_falls_below(figures, kind):
    step_0 = figures[kind]["step_0"]
    assert step_0["embedding_difference"] < 1e-5 and step_0["same_ranks"]
    for tuning in tuning_study.TUNINGS:
        row = figures[kind][tuning]
        assert row["val_after"] >= row["val_before"] == figures[kind]["frozen"]["val_before"]
        assert f"{row['val_before']:.2f}" in row["said"]
        if not row["kept_step"] or tuning == "frozen":
            assert row["said"].startswith("Dual encoder from a pretrained") and "Not tuned" in row["said"]
            assert row["test"] == step_0["test"]


def test_the_page_has_a_line_for_every_way(figures):
    page = tuning_page.page(figures)
    assert page.count("all equal") == 2
    assert all(
        f"| {name} | {tuning} |" in page for name in ("CLIP", "SigLIP") for tuning in tuning_study.TUNINGS
    )
