"""red_team: attacks on the shipped model, each with a control.
models/bundle + data -> {metrics,plots}/red_team"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.evaluate.red_team import attack_run, red_team_figures, red_team_page
    from sightline.evaluate.red_team.attacked_model import AttackedModel
    from sightline.evaluate.red_team.material import Material

    model = AttackedModel.load(Path("models/bundle"), params.threads)
    raw, vqa = (artifacts.load(Path(f"data/{kind}"), kind).path for kind in ("raw", "vqa"))
    split, limit = params.evaluate.splits[0], params.evaluate.max_items
    material = Material.read(raw, vqa, split, limit, model.language)
    attacked = attack_run.run(model, material, params.red_team, params.evaluate.bootstrap, attack_run.names())
    figures = attack_run.figures(model, material, params.red_team, attacked)
    with artifacts.create(red_team_figures.FOLDER, "metrics", {}) as folder:
        red_team_figures.write(folder, figures)
    page = Path("plots/red_team/index.html")
    red_team_page.write(page, attacked, material)
    tested = sum(not family.not_tested for family in figures.families.values())
    runtime.log(f"{tested} of {len(attacked)} families of attacks tried; their worst examples in {page}")


if __name__ == "__main__":
    with runtime.stage("red_team") as params:
        main(params)
