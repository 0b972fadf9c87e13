"""The pages of docs/reports are what their commands write from the committed results."""

from importlib import import_module
from pathlib import Path

import pytest

from sightline.core.artifacts import read_json
from sightline.evaluate.result_files import read_csv
from sightline_lab.ablations import ablation_summary
from sightline_lab.faithfulness import faithfulness_page
from sightline_lab.hallucination import hallucination_page

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "docs" / "reports"
PAGES = ("bench.bench_page", "bench.ann_page", "pruning.pruning_page", "retrieval.retrieval_page")
PAGES += ("load_test.load_page", "duplicates.duplicates_page", "scale.scale_page", "scale.plan_page")
PAGES += ("own_tables.own_table_page", "towers.towers_page", "faults.reliability_page")
PAGES += ("pretrained.tuning_page", "decoders.decoders_page", "monitoring.monitoring_page")
PAGES += ("safety.safety_page", "photos.photo_results_page", "photos.photo_examples")
HALLUCINATION = [("decoding", "scenes"), ("photos", "flickr8k")]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_its_result_holds(name):
    module = import_module(f"sightline_lab.{name}")
    page = module.page(read_json(ROOT / module.RESULT))
    assert (ROOT / module.PAGE).read_text(encoding="utf-8") == page


@pytest.mark.parametrize(("ideas", "source"), HALLUCINATION)
def test_the_pages_of_hallucination(ideas, source):
    about = hallucination_page.About(Path(f"lab/hallucination_{ideas}.yaml"), source)
    result = read_json(ROOT / about.named(hallucination_page.RESULT))
    figures = read_csv(ROOT / about.named(hallucination_page.FIGURES))
    written = (ROOT / about.named(hallucination_page.PAGE)).read_text(encoding="utf-8")
    assert written == hallucination_page.page(result, figures, about)
    assert (ROOT / result["call"]["ideas"]).is_file()


@pytest.mark.parametrize(
    ("name", "module"), [("ablations", ablation_summary), ("explanations", faithfulness_page)]
)
def test_pages_without_paths_of_their_own(name, module):
    result = {"explanations": "faithfulness"}.get(name, name)
    written = (REPORTS / f"{name}.md").read_text(encoding="utf-8")
    assert written == module.page(read_json(ROOT / "metrics" / f"{result}.json"))
