"""The plan of builds that nobody ran: its lines, its check and its arithmetic."""

import pytest

from sightline_lab.scale import plan_page, scale_plan
from sightline_lab.scale.scale_plan import Line, Model, Site


def size(rows: int, seconds: float) -> dict:
    stages = {stage: {"core_seconds": seconds, "peak_mib": 64.0} for stage in scale_plan.PER_ROW}
    return {"rows": rows, "raw_mib": rows / 100, "stages": stages}


def test_a_line_is_found_exactly():
    line = scale_plan.fit([10, 100, 1000], [7.0, 25.0, 205.0])
    assert line.fixed == pytest.approx(5.0) and line.each == pytest.approx(0.2)
    assert line.at(10_000) == pytest.approx(2005.0)


@pytest.mark.parametrize("values", [[1.0, 20.0], [20.0, 1.0]])
def test_neither_part_is_negative(values):
    line = scale_plan.fit([10, 100], values)
    assert line.fixed >= 0 and line.each >= 0


def test_residuals_are_relative():
    """Through the origin, since the growth is steeper than the rows: the sum of u over that of its squares,
    u = rows / value = 100 and 25."""
    line = scale_plan.fit([100, 1_000_000], [1.0, 40_000.0])
    assert line.fixed == 0 and line.each == pytest.approx(125 / 10_625)


def test_one_size_makes_no_line():
    with pytest.raises(ValueError, match=r"two sizes or more, got \[10\]"):
        scale_plan.fit([10, 10], [1.0, 2.0])


def test_the_largest_size_is_predicted_by_those_of_a_tenth():
    """1 + 0.01 rows at 100 and 1,000; the size of 5,000 is no tenth of 10,000 and must not be seen."""
    sizes = [size(100, 2.0), size(1000, 11.0), size(5000, 999.0), size(10_000, 126.25)]
    rows = {row["what"]: row for row in scale_plan.check(sizes)}
    assert rows["convert"]["predicted"] == pytest.approx(101.0)
    assert rows["convert"]["error"] == pytest.approx(101.0 / 126.25 - 1)
    assert rows["data/raw"]["error"] == pytest.approx(0.0)
    assert rows["download and convert and index"]["measured"] == pytest.approx(3 * 126.25)


def test_a_stage_that_changes_its_law_is_not_predicted_across():
    """The index of 200,000 vectors is made of inverted lists: what exact search takes says nothing of it, and
    a row costs what one costs there. 1 + 0.001 rows otherwise."""
    sizes = [size(2000, 3.0), size(20_000, 21.0), size(200_000, 201.0)]
    rows = {row["what"]: row for row in scale_plan.check(sizes)}
    assert rows["index"]["predicted"] is None and rows["index"]["error"] is None
    assert rows["download and convert"]["predicted"] == pytest.approx(2 * 201.0)
    fitted = scale_plan.lines(sizes)["core_seconds"]
    assert fitted["index"] == Line(0.0, 201.0 / 200_000)
    assert fitted["convert"].at(10**6) == pytest.approx(1001.0)


def test_a_law_has_a_line_of_its_own():
    """20,001 to 100,000 vectors; the smallest size has another slope."""
    sizes = [size(20_000, 900.0), size(30_000, 31.0), size(100_000, 101.0)]
    line = scale_plan.lines(sizes)["core_seconds"]["index"]
    assert line.fixed == pytest.approx(1.0) and line.each == pytest.approx(0.001)


def test_too_few_sizes_name_the_command_that_measures_them():
    with pytest.raises(ValueError, match="`sightline lab scale` measures three"):
        scale_plan.check([size(1000, 1.0), size(5000, 2.0), size(10_000, 3.0)])


def plan(site: Site, memory: float = 1024.0) -> dict:
    """1,000,000 pairs; a core-second a thousand rows for each of three stages, 3.6 ms a pair of training."""
    fitted = {
        "core_seconds": dict.fromkeys(scale_plan.PER_ROW, Line(0.0, 0.001)),
        "peak_mib": {"download": Line(10.0, 0.0), "convert": Line(memory, 0.0)},
        "stored_mib": {"data/raw": Line(0.0, 2500 / 2**20)},
    }
    model = Model("ours", 2.0, 1e9, {"align": 3.0})
    return scale_plan.plan(fitted, {"align": 0.0036}, model, site, 1_000_000, 1000)


def test_one_machine_by_hand():
    seen = plan(Site(1, 1, 16.0, 8.0))
    assert seen["hours"]["convert"] == pytest.approx(1000 / 3600)
    assert seen["hours"]["align"] == pytest.approx(3 * 1e6 * 0.0036 * 2 / 3600)
    assert seen["total_hours"] == pytest.approx(3 * 1000 / 3600 + 6.0)
    assert seen["sent_gib"] == 0 and seen["network_hours"] == 0
    assert seen["stored_gib"] == pytest.approx(2.5e9 / 2**30)
    assert seen["first"] == "processors: 6.8 h"


def test_several_machines_by_hand():
    """4 machines of 2 cores are 1 + 0.9 * 7 = 7.3 cores; each sends 2 * 3 / 4 of 1e9 bytes in 3,000 steps and
    reads 3 * 2.5e9 / 4 bytes over 1e9 bytes a second."""
    seen = plan(Site(4, 2, 16.0, 8.0))
    assert seen["total_hours"] == pytest.approx((3 * 1000 / 3600 + 6.0) / 7.3)
    assert seen["sent_gib"] == pytest.approx(1.5e9 * 3000 / 2**30)
    assert seen["network_hours"] == pytest.approx((1.5 * 3000 + 3 * 2.5 / 4) / 3600)
    assert seen["first"] == "the link: 1.3 h of transfers, 0.9 h of work"


def test_memory_breaks_before_anything_else():
    seen = plan(Site(1, 1, 16.0, 8.0), memory=20 * 1024.0)
    assert seen["first"] == "memory of convert: 20 GiB of 16"


def test_the_page_says_how_many_machines_end_within_a_week():
    of = {"rows": 1000, "hours": dict.fromkeys(scale_plan.PER_ROW, 1.0), "stored_gib": 1.0, "memory_gib": 1.0,
          "memory_stage": "align", "first": "processors"}  # fmt: skip
    plans = [of | {"machines": 1, "total_hours": 400.0, "network_hours": 0.0},
             of | {"machines": 8, "total_hours": 50.0, "network_hours": 90.0}]  # fmt: skip
    slow = [plan | {"total_hours": 336.0, "network_hours": 1680.0, "memory_gib": 512.0} for plan in plans]
    missed = {"what": "index", "unit": "MiB", "predicted": 13.0, "measured": 10.0, "error": 0.3}
    apart = {"what": "convert", "unit": "s", "predicted": None, "measured": 10.0, "error": None}
    result = {"fitted_on": [10, 100], "one_session": True, "check": [missed, apart],
              "per_item": {"align": 0.0011}, "passes": {"align": 3.0},
              "site": {"cores": 32, "memory_gib": 256.0, "link_gbit": 10.0}, "batch": 4096,
              "plans": {"default": plans, "large": slow}}  # fmt: skip
    page = plan_page.page(result)
    assert "- default, 1,000 pairs within a week: 8 machines." in page
    assert "Beyond 20 %, so not to be trusted: index." in page and "| index, MiB | 13 | 10 | +30 % |" in page
    assert "| convert, s | - | 10 | - |" in page and "at different times" not in page
    assert "at different times" in plan_page.page(result | {"one_session": False})
    large = "about 80 machines of this kind, so accelerators instead, with 512 GiB for align."
    assert f"- large, 1,000 pairs within a week: {large}" in page
