"""The export verb: the variants as ONNX graphs, their parity, cost and quality, and which one ships."""

import shutil
from pathlib import Path

from sightline import artifacts, runtime
from sightline.data.shards import Items
from sightline.data.vqa.triples import Triples
from sightline.decode.confidence import NOT_FITTED
from sightline.export import graphs, parity, trained, variants
from sightline.export.session import GENERATION, PREPROCESSOR, SPIN_OFF, TOKENIZER, Session
from sightline.models.clip import DualEncoder
from sightline.models.vlm import VLM
from sightline.params.loader import Params

CARD = """# onnx

Every variant of the model as six ONNX graphs: fp32 (as trained), pruned, and static int8 of each.
`config.json` names the one that ships and why it was chosen (`metrics/export/variants.csv`).
"""
GALLERY = 1000  # validation pictures of the retrieval check


def export(
    params: Params, raw: Path, vqa: Path, clip: DualEncoder, vlm: VLM, pruned: VLM, tokenizer: Path,
    macs: dict[str, int], out: Path, metrics: Path,
) -> None:  # fmt: skip
    """Write the variants to `out`, parity.json and variants.csv to `metrics`.

    tokenizer: the file that the models were trained with; macs: multiply-accumulates of each variant.
    Raises ParityError (after parity.json is written) when an exported model differs from the trained one.
    """
    knobs, pixels = params.export, params.data.max_pixels
    items, train, val = Items(raw), Triples(vqa, "train"), Triples(vqa, "val")
    config = {"variants": list(variants.CANDIDATES)}
    with artifacts.create(out, "onnx", config, CARD) as folder:
        write_settings(folder, clip, vlm, tokenizer)
        graphs.export_variants({"fp32": vlm, "pruned": pruned}, clip, folder, knobs.opset)
        calibration = variants.read_questions(items, train, knobs.calibration_items, pixels)
        learnt = variants.read_gallery(items, "train", knobs.calibration_items, pixels)
        for source in variants.QUANTIZED:
            variants.quantize_variant(folder, source, calibration, learnt)
        runtime.say("exported fp32, pruned and their int8 forms; comparing them with PyTorch")
        asked = variants.read_questions(items, val, knobs.parity_items, pixels)
        figures = {
            name: parity.compare(
                trained.session(model, clip, folder),
                Session.open(folder, name),
                asked.images,
                asked.questions,
            )
            for name, model in (("fp32", vlm), ("pruned", pruned))
        }
        metrics.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(metrics / "parity.json", figures["fp32"] | {"pruned": figures["pruned"]})
        for name, found in figures.items():
            parity.check(found, name)
        asked = variants.read_questions(items, val, knobs.selection_items, pixels, short=True)
        gallery = variants.read_gallery(items, "val", GALLERY, pixels)
        config["shipped"], rows = variants.choose(folder, macs, asked, gallery, knobs.max_drop)
        variants.write_table(metrics / "variants.csv", rows)
    for row in rows:
        runtime.say(
            f"{row['variant']}: {row['bytes']} bytes, accuracy {row['accuracy']:.1f}, R@1 {row['r1']:.1f}"
            + (", ships" if row["ships"] else "")
        )


def write_settings(folder: Path, clip: DualEncoder, vlm: VLM, tokenizer: Path) -> None:
    """What a session needs beside the graphs: tokenizer, preprocessing, lengths."""
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    tower = vlm.vision
    preprocessor = {"image_size": tower.image_size, "mean": list(tower.mean), "std": list(tower.std)}
    artifacts.write_json(folder / PREPROCESSOR, preprocessor)
    generation = {
        "max_new": vlm.config["max_answer"], "max_question": vlm.config["max_question"],
        "max_text": clip.text.config["max_tokens"], "spin": SPIN_OFF,
        "confidence": NOT_FITTED,
    }  # fmt: skip
    artifacts.write_json(folder / GENERATION, generation)
