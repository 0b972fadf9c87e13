"""explain: where the shipped model looked while it answered. models/bundle + data -> plots/explain"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline import registry, runtime  # noqa: E402
from sightline.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.evaluate.answers import normalise
    from sightline.explain import items, run
    from sightline.export.session import SPIN_OFF, Session

    session = Session.load(Path("models/bundle"), params.threads)
    method = registry.load("explain/methods", params.explain.method)
    chosen = items.choose(Path("data/raw"), Path("data/vqa"), "test", params.explain.items)
    explain = partial(method.explain, session, max_new=session.generation["max_new"])
    out = Path("plots/explain")
    run.run(
        chosen,
        lambda item, spin: explain(item.rgb, item.question, spin=spin),
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
