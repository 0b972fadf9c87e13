"""index: the shipped variant with a search index of a split and the SPIN settings. models/onnx + data ->
models/bundle"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline import artifacts, runtime  # noqa: E402
from sightline.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.data.shards import Items
    from sightline.export.session import Session
    from sightline.search import bundle

    raw, exported = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("models/onnx"), "onnx")
    session = Session.load_variant(exported.path, exported.config["shipped"], params.threads)
    spin = params.asdict("spin")
    session.heads_kept(spin)
    gallery = bundle.write(
        Path("models/bundle"), exported, session, Items(raw.path), raw.config["source"], params.index.split,
        params.index.factory, spin, params.data.max_pixels,
    )  # fmt: skip
    runtime.say(
        f"{exported.config['shipped']} with {len(gallery)} items in models/bundle; ask it: sightline ask"
    )


if __name__ == "__main__":
    with runtime.stage("index") as params:
        main(params)
