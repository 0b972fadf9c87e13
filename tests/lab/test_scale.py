"""The synthetic table, and the page of what its rows cost."""

import csv

from PIL import Image

from sightline.core.artifacts import read_json
from sightline_lab.scale import scale_page, scale_study, synthetic_table


def test_a_table_is_whole_and_the_same_again(tmp_path):
    assert list(synthetic_table.write(tmp_path / "a", 12, 32, 3)) == list(range(1, 13))
    list(synthetic_table.write(tmp_path / "b", 12, 32, 3))
    rows = list(csv.DictReader((tmp_path / "a" / "items.csv").open(encoding="utf-8")))
    assert len(rows) == 12 and len({row["description"] for row in rows}) == 12
    for row in rows:
        name = row["image_url"]
        with Image.open(tmp_path / "a" / "pictures" / name) as picture:
            assert picture.size == (32, 32)
        assert all((tmp_path / at / "pictures" / name).read_bytes() for at in "ab")
    assert (tmp_path / "a" / "items.csv").read_bytes() == (tmp_path / "b" / "items.csv").read_bytes()


def measured(rows: int, mib: int, session: str, core_seconds: float = 1.0) -> dict:
    cost = {"peak_mib": mib, "wall_seconds": 1.5, "core_seconds": core_seconds}
    stages = dict.fromkeys(scale_study.STAGES, cost)
    return {"rows": rows, "side": 40, "raw_mib": 3, "stages": stages, "session": session}


def test_of_two_runs_of_a_session_the_less_disturbed_one_stays(tmp_path):
    path = tmp_path / "scale.json"
    for mib, seconds in ((100, 2.0), (200, 1.0), (300, 3.0)):
        scale_study.merge(path, measured(2000, mib, "now", seconds))
    (size,) = read_json(path)["sizes"]
    assert {cost["peak_mib"] for cost in size["stages"].values()} == {200}
    scale_study.merge(path, measured(2000, 400, "later", 9.0))
    (size,) = read_json(path)["sizes"]
    assert {cost["peak_mib"] for cost in size["stages"].values()} == {400}


def test_sizes_are_merged_and_growth_is_per_row(tmp_path):
    path = tmp_path / "scale.json"
    for rows, mib in ((22_480, 300), (2_000, 100), (2_000, 280)):
        scale_study.merge(path, measured(rows, mib, session=f"at {mib}"))
    merged = read_json(path)
    assert [size["rows"] for size in merged["sizes"]] == [2_000, 22_480]
    # 20 MiB for 20,480 more rows are 1 KiB a row.
    assert "| convert | 280 | 2 | 300 | 2 | 1.0 |" in scale_page.page(merged)
