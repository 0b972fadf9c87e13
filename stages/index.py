"""index: the shipped variant with a search index, the SPIN settings, and what it can be trusted with.
models/onnx + data -> models/bundle"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.data.questions.triples import Triples
    from sightline.data.shards import Items
    from sightline.inference import fit_confidence, fit_object_words, out_of_domain, question_detector
    from sightline.inference.session import Session
    from sightline.search import bundle

    pixels = params.data.max_pixels
    raw, exported = artifacts.load(Path("data/raw"), "raw"), artifacts.load(Path("models/onnx"), "onnx")
    session = Session.load_variant(exported.path, exported.config["shipped"], params.threads)
    vqa, items = artifacts.load(Path("data/vqa"), "vqa"), Items(raw.path)
    if session.answers:
        session.decoding_inputs(params.generation, params.spin)  # before an hour of work, not after it
    train, val = (Triples(vqa.path, split) for split in ("train", "val"))
    confidence = fit_confidence.fit(session, items, val, params.index.sure_accuracy, pixels)
    domain = out_of_domain.fit(session, items, params.index.domain_percentile, pixels)
    origin = bundle.DataOrigin(raw.config["source"], params.convert.language, raw.digest())
    questions = described = None
    if session.answers:
        questions = question_detector.fit(train, val, params.index.domain_percentile)
        described = fit_object_words.fit(
            session, items, val, vqa.config["objects"], params.generation, params.spin, pixels
        )
    inputs = bundle.BundleInputs(
        exported, session, confidence, params.generation, params.spin, domain, questions, items, origin,
        vqa.config["left_out"], described, params.evaluate.description_weight,
    )  # fmt: skip
    gallery = bundle.write(Path("models/bundle"), inputs, params.index, pixels)
    runtime.log(f"{exported.config['shipped']} with {gallery.what} in models/bundle; ask it: sightline ask")


if __name__ == "__main__":
    with runtime.stage("index") as params:
        main(params)
