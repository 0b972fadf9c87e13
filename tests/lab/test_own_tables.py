"""What `sightline lab own-tables` reads from a built repository, and its page."""

from sightline.core.artifacts import read_json, write_json
from sightline_lab.own_tables import own_table_page, own_table_study

RETRIEVAL = """split,variant,spin,type,metric,value,low,high,n,pictures
test,shipped,,text_to_image,r1,50.1,44.0,56.2,343,181
test,shipped,,text_to_image,r10,91.0,88.0,94.0,343,181
test,shipped,,image_to_text,r1,1.0,1.0,1.0,181,181
test,fp32,,text_to_image,r1,2.0,2.0,2.0,343,181
val,shipped,,text_to_image,r1,3.0,3.0,3.0,343,181
test,chance,,text_to_image,r1,0.552,,,343,181
test,chance,,text_to_image,r10,5.525,,,343,181
test,ceiling,,text_to_image,r1,99.4,,,343,181
test,ceiling,,text_to_image,r10,100.0,,,343,181
"""


def built(home):
    """The files that a build leaves, as far as they are read."""
    for folder in ("data/raw", "data/vqa", "metrics/gate", "metrics/evaluate"):
        (home / folder).mkdir(parents=True)
    write_json(home / "data" / "raw" / "config.json", {"items": {"train": 10, "val": 2, "test": 3}})
    counts = {"train": {"describe": 20, "color": 15, "existence": 40, "answers_yes": 20}}
    write_json(home / "data" / "vqa" / "config.json", {"counts": counts})
    accuracy = {"value": 67.0, "low": 64.0, "high": 70.0, "pictures": 181}
    write_json(
        home / "metrics" / "summary.json", {"quality": {"shipped": {"test": {"vqa_accuracy": accuracy}}}}
    )
    checks = [{"passed": passed} for passed in (True, True, False, None)]
    write_json(home / "metrics" / "gate" / "gate.json", {"checks": checks})
    (home / "metrics" / "evaluate" / "retrieval.csv").write_text(RETRIEVAL)
    return home


def test_the_figures_are_those_of_the_shipped_model_on_test(tmp_path):
    figures = own_table_study.figures(built(tmp_path))
    assert figures["questions_per_item"] == 5.5  # 55 short questions about 10 items
    assert figures["gate"] == {"passed": 2, "failed": 1, "not tested": 1}
    assert figures["retrieval"]["r1"] == {
        "shipped": {"value": 50.1, "low": 44.0, "high": 56.2},
        "chance": {"value": 0.552, "low": None, "high": None},
        "ceiling": {"value": 99.4, "low": None, "high": None},
    }


def test_tables_are_merged_and_the_page_adds_the_minutes_up(tmp_path):
    minutes = {"init": 0.1, "estimate": 0.4, "repro": 4.5, "search": 0.0}
    said = {
        "query": "red cup",
        "options": [],
        "minutes": minutes,
        "estimated": 3,
        "others_share": 0.42,
        "found": ["Red cup", "Mug"],
    }
    path = tmp_path / "own_tables.json"
    figures = own_table_study.figures(built(tmp_path / "home"))
    for name in ("catalogue", "emoji", "catalogue"):
        own_table_study.merge(path, name, said | figures)
    assert list(read_json(path)["tables"]) == ["catalogue", "emoji"]
    page = own_table_page.page(read_json(path))
    assert "| emoji | 15 | 3 | 5.0 | 4.5 | 42 % | 2, 1, 1 |" in page
    assert "| emoji | 5.5 | 67.0 [64.0, 70.0] | 50.1 [44.0, 56.2] | 0.6 | 99.4 | 91.0 [" in page
    assert "| emoji | red cup | Red cup; Mug |" in page
