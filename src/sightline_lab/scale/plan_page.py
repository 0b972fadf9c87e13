"""metrics/plan.json as docs/reports/plan.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline.core import artifacts, templates
from sightline.core.params.loader import load_params
from sightline.search.vector_index import FLAT_UP_TO, QUANTIZED_ABOVE
from sightline_lab.scale import scale_plan
from sightline_lab.scale.scale_plan import Model, Site

RESULT, PAGE = Path("metrics/plan.json"), Path("docs/reports/plan.md")
MEASURED, COST, SUMMARY = Path("metrics/scale.json"), Path("metrics/cost.json"), Path("metrics/summary.json")
PROFILE = "scenes"  # whose trainings say what an item costs
PAIRS, MACHINES = (10**7, 10**8, 10**9), (1, 8, 64)
BATCH = 4096  # pairs of a step, of all machines together
PASSES = {"pretrain": 1.0, "align": 3.0, "finetune": 1.0}  # over the pairs: more data needs fewer
WEEK = 168.0  # hours
TRUSTED = 0.2  # error of a prediction, as a share, up to which its line is called right
# https://github.com/mlfoundations/open_clip/blob/main/docs/model_profile.csv, ViT-B-16: 41.09 GFLOPs, two a
# multiply-accumulate; 149.62 million parameters
CLIP_MACS, CLIP_PARAMETERS = 20.545e9, 149.62e6


def reckon(here: Path, site: Site) -> dict[str, Any]:
    """The plan for machines like `site`, from the files of the checkout `here`.

    Raises ArtifactError for a file that is not there, ValueError where too few sizes were measured.
    """
    sizes = artifacts.read_json(here / MEASURED)["sizes"]
    params = load_params(here / "params.yaml", {"profile": PROFILE})
    cost = artifacts.read_json(here / COST)[PROFILE]["stages"]
    per_item = scale_plan.item_seconds(cost, params, params.data.sizes["train"])
    default = artifacts.read_json(here / SUMMARY)["cost"]["fp32"]
    models = (
        Model("default", 1.0, default["bytes"], PASSES),
        Model("CLIP ViT-B/16", CLIP_MACS / default["macs"], 4 * CLIP_PARAMETERS, PASSES),
    )
    checked = scale_plan.check(sizes)
    fitted = scale_plan.lines(sizes)
    plans = {
        model.name: [
            scale_plan.plan(
                fitted,
                per_item,
                model,
                Site(machines, site.cores, site.memory_gib, site.link_gbit),
                pairs,
                BATCH,
            )
            for pairs in PAIRS
            for machines in MACHINES
        ]
        for model in models
    }
    rates = {
        kind: {name: {"fixed": line.fixed, "each": line.each} for name, line in of_kind.items()}
        for kind, of_kind in fitted.items()
    }
    return {
        "fitted_on": [size["rows"] for size in sizes],
        "one_session": len({size.get("session", size["rows"]) for size in sizes}) == 1,
        "check": checked,
        "rates": rates,
        "per_item": per_item,
        "site": {"cores": site.cores, "memory_gib": site.memory_gib, "link_gbit": site.link_gbit},
        "batch": BATCH,
        "passes": PASSES,
        "plans": plans,
    }


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    missed = [row["what"] for row in result["check"] if abs(row["error"] or 0.0) > TRUSTED]
    values = {"result": result, "chosen": _chosen(result), "missed": missed, "trusted": TRUSTED}
    values |= {"full": scale_plan.FULL, "flat": FLAT_UP_TO, "quantized": QUANTIZED_ABOVE}
    return templates.render("sightline_lab.scale", "plan.md", **values)


def _chosen(result: dict[str, Any]) -> list[str]:
    """A sentence for each model and number of pairs: the fewest machines that end within a week, and the
    memory that they need beyond what the site's have."""
    said = []
    for name, plans in result["plans"].items():
        for pairs in sorted({plan["rows"] for plan in plans}):
            of_size = [plan for plan in plans if plan["rows"] == pairs]
            enough = [plan for plan in of_size if max(plan["total_hours"], plan["network_hours"]) <= WEEK]
            if enough:
                choice = f"{enough[0]['machines']} machine{'s' if enough[0]['machines'] > 1 else ''}"
            else:
                most = of_size[-1]
                more = most["machines"] * max(most["total_hours"], most["network_hours"]) / WEEK
                choice = f"about {more:,.0f} machines of this kind, so accelerators instead"
            least = of_size[0]
            if least["memory_gib"] > result["site"]["memory_gib"]:
                choice += f", with {least['memory_gib']:,.0f} GiB for {least['memory_stage']}"
            said.append(f"{name}, {pairs:,} pairs within a week: {choice}")
    return said
