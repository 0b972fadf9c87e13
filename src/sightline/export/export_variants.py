"""The export verb: the variants as ONNX graphs, their parity, cost and quality, and which one ships."""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sightline.core import artifacts, progress, runtime
from sightline.core.params.loader import Params
from sightline.data import tokenizer_files
from sightline.data.questions.triples import Triples
from sightline.data.shards import Items
from sightline.export import onnx_graphs, parity, quantization_sensitivity, variants
from sightline.inference import bundle_settings, calibration_data, torch_session
from sightline.inference.bundle_settings import GENERATION, BundleSettings
from sightline.inference.calibration_data import Judge, Questions
from sightline.inference.encoding import PREPROCESSOR
from sightline.inference.session import DECODER_TOKENIZER, Session
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM, build

CARD = """# onnx

Every variant of the model as six ONNX graphs: fp32 (as trained), pruned, static int8 of each, and int4.
`config.json` names the one that ships and why it was chosen (`metrics/export/variants.csv`).
"""
GALLERY = 1000  # validation pictures of the retrieval check
SCANNED = 256  # questions of train to measure each layer with when it alone is int8
TURNED = 64  # pictures of train, and texts, to measure embeddings with


@dataclass(frozen=True)
class ExportInputs:
    """What is exported: the models fp32 and pruned with the dual encoder (no pruned where there is none, None
    for fp32 where no decoder was trained), the digests of their artifacts, the multiply-accumulates of each
    variant, the tokenizers' files that the dual encoder and the decoder were trained with; and the folders of
    the data that variants are calibrated and compared on."""

    models: dict[str, VLM | None]
    clip: DualEncoder
    sources: dict[str, str]
    macs: dict[str, int]
    tokenizer: Path
    decoder_tokenizer: Path
    raw: Path
    vqa: Path


def export(params: Params, inputs: ExportInputs, out: Path, metrics: Path) -> None:
    """Write the variants to `out`, parity.json, sensitivity.csv and variants.csv to `metrics`.

    Raises ParityError (after parity.json is written) when an exported model differs from the trained one.
    """
    section, pixels = params.export, params.data.max_pixels
    models, clip = inputs.models, inputs.clip
    items, train, val = Items(inputs.raw), Triples(inputs.vqa, "train"), Triples(inputs.vqa, "val")
    answers = models["fp32"] is not None
    config: dict[str, Any] = {}
    with artifacts.create(out, "onnx", config, CARD) as folder:
        write_settings(folder, clip, models["fp32"], inputs.tokenizer, inputs.decoder_tokenizer)
        onnx_graphs.export_variants(models, clip, folder, section.opset, inputs.sources)
        calibration = calibration_data.read(items, train, section.calibration_items, pixels)
        captioned = calibration_data.read_captioned(items, "train", section.calibration_items, pixels)
        scanned = calibration_data.read(items, train, SCANNED, pixels, short=True)
        if not scanned.questions:
            scanned = calibration_data.read(items, train, SCANNED, pixels)
        metrics.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as background:
            questions = calibration_data.read(items, val, section.parity_items, pixels)
            packed = {
                name: None if model is None else onnx_graphs.pack(model) for name, model in models.items()
            }
            comparing = background.submit(
                _compare, packed, onnx_graphs.pack(clip), folder, questions, params.threads
            )
            with progress.step("quantizing"):
                layers = quantize_all(folder, calibration, captioned, scanned, section.max_flips)
            variants.write_table(metrics / "sensitivity.csv", layers, quantization_sensitivity.COLUMNS)
            config["variants"] = variants.written(folder)
            exported = ", ".join(config["variants"][::-1])
            runtime.log(f"exported {exported}; which is the smallest that loses nothing?")
            judges = Judge.read(items, val, section.selection_items, pixels) if answers else []
            gallery = calibration_data.read_captioned(items, "val", GALLERY, pixels)
            figures_of = [*(judge.words() for judge in judges), f"R@1 over {len(gallery)} pictures"]
            runtime.log(f"judged by {', '.join(figures_of)}")
            config["shipped"], rows = variants.choose(folder, inputs.macs, judges, gallery, section.max_drop)
            variants.write_table(metrics / "variants.csv", rows, list(rows[0]))
            with progress.step("comparing with PyTorch"):
                figures = comparing.result()
        of_pruned = {name: figures[name] for name in ("pruned",) if name in figures}
        artifacts.write_json(metrics / "parity.json", figures["fp32"] | of_pruned)
        for name, differences in figures.items():
            parity.check(differences, name)
    for row in rows:
        quality = "".join(f"{each.figure.replace('_', ' ')} {row[each.figure]:.1f}, " for each in judges)
        runtime.log(
            f"{row['variant']}: {row['bytes']} bytes, {quality}R@1 {row['r1']:.1f}"
            + (", ships" if row["ships"] else "")
        )


def _compare(
    models: dict[str, onnx_graphs.Packed | None],
    clip: onnx_graphs.Packed,
    folder: Path,
    questions: Questions,
    threads: int,
) -> dict[str, dict]:
    """`parity.compare` for every model, in a process of its own: nothing else waits for it."""
    runtime.watch_launcher()
    torch.set_num_threads(threads)
    dual = onnx_graphs.unpack(DualEncoder(clip[0]), clip[1])
    return {
        name: parity.compare(
            torch_session.session(
                None if model is None else onnx_graphs.unpack(build(model[0]), model[1]), dual, folder
            ),
            Session.open(folder, name),
            questions.images,
            questions.questions,
        )
        for name, model in models.items()
    }


def quantize_all(
    folder: Path, questions: Questions, gallery: list[tuple[np.ndarray, str]], scanned: Questions,
    max_flips: float,
) -> list[dict]:  # fmt: skip
    """Write the int8 forms of fp32 and, where there is one, pruned, both with those layers in float32 that
    flip too many of fp32's answers or turn its embeddings too far, and int4; returns the rows of the scan."""
    digest, rows = variants.calibration_digest(questions, gallery), []
    with tempfile.TemporaryDirectory() as scratch:
        for source in (name for name in variants.QUANTIZED if (folder / name).is_dir()):
            first, work_folder = source == "fp32", Path(scratch) / source
            forms = variants.calibrate(folder, source, questions, gallery if first else [], work_folder)
            if first and max_flips < 100:
                rows = quantization_sensitivity.scan(
                    folder, source, forms, scanned, gallery[:TURNED], max_flips, work_folder / "scan"
                )
            variants.write_int8(folder, source, forms, quantization_sensitivity.in_float(rows), digest)
            if first:
                variants.write_int4(folder, forms)
    return rows


def write_settings(
    folder: Path, clip: DualEncoder, vlm: VLM | None, tokenizer: Path, decoder_tokenizer: Path
) -> None:
    """What a session needs besides the graphs: tokenizers, preprocessing, lengths. Without an answering model
    the lengths of questions and answers are those of texts; nothing reads them."""
    tokenizer_files.copy(tokenizer, folder)
    if vlm is not None and vlm.text is None:
        (folder / DECODER_TOKENIZER).mkdir()
        tokenizer_files.copy(decoder_tokenizer, folder / DECODER_TOKENIZER)
    tower = clip.vision if vlm is None else vlm.vision
    artifacts.write_json(folder / PREPROCESSOR, tower.preprocessing.to_config())
    max_text = clip.text.config["max_tokens"]
    settings = BundleSettings(
        max_question=max_text if vlm is None else vlm.config["max_question"], max_text=max_text,
        generation=bundle_settings.greedy_generation(max_text if vlm is None else vlm.config["max_answer"]),
    )  # fmt: skip
    bundle_settings.write(folder / GENERATION, settings)
