"""Verdicts and the page, from a result made by hand."""

import copy

import pytest

from sightline.core.artifacts import write_json
from sightline_lab.ablations import ablation_page, ablation_summary
from sightline_lab.ablations.ablation_summary import Spread

CHANGES = {"pretrain.epochs": 0.5, "align.epochs": 2.0, "finetune.epochs": 1.0}


def arm(answers, chair_i, r1, cost=100.0, **changes):
    figures = zip(answers, chair_i, r1, strict=True)
    return {
        "why": "because",
        "changes": CHANGES | changes,
        "planned_core_seconds": {"pretrain": 10.0, "align": 30.0, "finetune": 61.0},
        "runs": {
            str(7 + n): {
                "figures": {"answers": a, "chair_i": c, "text_to_image_r1": r, "swapped_kind": 90.0},
                "core_seconds": {"pretrain": 10.0, "align": 30.0, "finetune": cost - 40 + n},
            }
            for n, (a, c, r) in enumerate(figures)
        },
    }


RESULT = {
    "profile": "scenes",
    "scale": 0.25,
    "seeds": [7, 8, 9],
    "pictures": 400,
    "calibration": {"finetune {}": {"fixed": 8.0, "per_epoch": 212.5}},
    "arms": {
        "default": arm([80.0, 82.0, 81.0], [2.0, 2.1, 2.2], [70.0, 71.0, 72.0]),
        "no-joint": arm([74.0, 76.5, 75.5], [4.0, 4.2, 4.1], [70.0, 71.0, 72.0], **{"finetune.epochs": 1.3}),
        "no-mlm": arm([80.5, 81.0, 82.0], [2.1, 2.0, 2.2], [73.0, 74.5, 75.0], **{"pretrain.epochs": 0}),
    },
}


def test_spread_by_hand():
    spread = Spread([1.0, 2.0, 3.0])
    assert (spread.mean, spread.deviation) == (2.0, 1.0)
    assert spread.half == pytest.approx(4.303 / 3**0.5)  # Student's 97.5 % quantile at 2 degrees of freedom
    assert not spread.clear
    assert Spread([2.9, 3.0, 3.1]).clear
    assert Spread([5.0]).half is None and not Spread([5.0]).clear


@pytest.mark.parametrize(
    "name, figure, values, expected",
    [
        # -6.0, -5.5, -5.5: mean -5.67, half of the interval 0.72
        ("no-joint", "answers", [-6.0, -5.5, -5.5], "helps"),
        ("no-joint", "chair_i", [2.0, 2.1, 1.9], "helps"),  # more invented things without it
        ("no-joint", "text_to_image_r1", [0.0, 0.0, 0.0], "not involved"),
        ("no-mlm", "answers", [0.5, -1.0, 1.0], "no difference"),
        ("no-mlm", "text_to_image_r1", [3.0, 3.5, 3.0], "hurts"),
    ],
)
def test_verdicts(name, figure, values, expected):
    gap = ablation_summary.difference(RESULT, name, figure)
    assert gap.values == pytest.approx(values)
    assert ablation_summary.verdict(gap, figure) == expected


def test_one_seed_gives_no_verdict():
    result = copy.deepcopy(RESULT) | {"seeds": [7]}
    for arm in result["arms"].values():
        arm["runs"] = {"7": arm["runs"]["7"]}
    assert (
        ablation_summary.verdict(ablation_summary.difference(result, "no-joint", "answers"), "answers")
        == "one seed"
    )
    assert "| no joint | 74.0 | -6.0 | one seed |" in ablation_summary.page(result)


def test_the_page_says_what_the_numbers_say():
    text = ablation_summary.page(RESULT)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert "| default | 81.0 ± 1.0 |  |  | 71.0 ± 1.0 |  |  | 101 | 101 |" in rows
    assert (
        "| no joint | 75.3 ± 1.3 | -5.7 [-6.4, -4.9] | helps | 71.0 ± 1.0 | +0.0 [+0.0, +0.0] | "
        "not involved | 101 | 101 |"
    ) in rows
    assert "| CHAIR_i | 2.1 ± 0.1 | **+2.0** | +0.0 |" in rows
    assert "| no joint | because | 0.5 | 2 | 1.3 |" in rows
    assert "| `finetune {}` | 8.0 | 212.5 |" in rows
    assert text.index("| no joint |") < text.index("| no mlm |"), "the arms that lose most come first"


def test_page_and_picture_are_the_same_bytes_every_time(tmp_path):
    written = []
    for name in ("a", "b"):
        (tmp_path / name / "docs" / "reports").mkdir(parents=True)
        write_json(tmp_path / name / "result.json", RESULT)
        ablation_page.write(tmp_path / name, tmp_path / name / "result.json")
        written.append({f.name: f.read_bytes() for f in (tmp_path / name / "docs" / "reports").iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"ablations.md", "ablations.svg"}
    assert b"http" not in written[0]["ablations.svg"].replace(b"http://www.w3.org", b"").replace(
        b"http://purl.org", b""
    ).replace(b"http://creativecommons.org", b"").replace(b"https://matplotlib.org", b"")
