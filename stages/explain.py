"""explain: why the shipped model answered so. models/bundle, models/vlm + data -> plots/explain"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline import runtime  # noqa: E402
from sightline.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.evaluate.answers import normalise
    from sightline.explain import items, run
    from sightline.explain.subject import Subject, explain
    from sightline.export import lazily
    from sightline.export.session import SPIN_OFF, Session

    session = Session.load(Path("models/bundle"), params.threads)
    model = Subject(session, SPIN_OFF, partial(lazily.vlm, Path("models/vlm")), params.seed)
    chosen = items.choose(Path("data/raw"), Path("data/vqa"), "test", params.explain.items)
    out = Path("plots/explain")
    run.run(
        chosen,
        lambda item, spin: explain(replace(model, spin=spin), params.explain.method, item.rgb, item.question),
        lambda truth, answer: normalise(truth) == normalise(answer),
        SPIN_OFF,
        params.asdict("spin"),
        params.explain.colormap,
        out,
    )
    runtime.say(f"{len(chosen)} questions explained; open {out}/index.html")


if __name__ == "__main__":
    with runtime.stage("explain") as params:
        main(params)
