"""A vision-language model of transformers as a bundle: its three graphs, checked against the model as
transformers runs it, in float32, int8 or int4.

The bundle answers and does not search. Each graph is one file, so its weights take at most 2 GB.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sightline.core import artifacts, progress, templates
from sightline.data import tokenizer_files
from sightline.data.tokenizer_files import TOKENIZER
from sightline.export import onnx_graphs, parity, variants
from sightline.export.parity import TOLERANCE, ParityError
from sightline.inference import bundle_settings, chat_prompt, image_text_model
from sightline.inference.bundle_settings import GENERATION
from sightline.inference.calibration_data import Questions
from sightline.inference.decoding import greedy
from sightline.inference.encoding import PREPROCESSOR
from sightline.inference.image_text_model import Opened
from sightline.inference.onnx_engine import ANSWERING_ALONE, CONFIG
from sightline.inference.session import MODEL, Session
from sightline.inference.transformers_model import TransformersModel

BATCH = 4  # rows of a call: large models have large caches
TOKENS = 16  # of an answer that is compared or calibrated with
MOST_BYTES = 2**31 - 2**24  # of a graph: what a single ONNX file holds, less what is no weight
OPSET = 20
PARITY = "parity.json"
ASKED = ("What is in the picture?", "Is there a dog in the picture?", "What color is the largest object?")


@dataclass(frozen=True)
class Expected:
    """What transformers itself writes about a picture: token numbers [T], and the logits before each."""

    ids: list[int]
    logits_TV: np.ndarray


def convert(
    loaded: TransformersModel, opened: Opened, name: str, precision: str,
    pictures: Sequence[np.ndarray], out: Path,
) -> dict[str, Any]:  # fmt: skip
    """Write the bundle `out` and return the figures of its parity.json. precision: fp32, int8 or int4;
    pictures (uint8 [Y, X, 3]): compared on and calibrated with.

    Raises ParityError where ONNX Runtime or our PyTorch model computes something else than transformers, and
    ValueError for a model too large for single files.
    """
    _require_small(opened)
    shown = [_fitting(picture, opened.vlm.vision.image_size) for picture in pictures]
    questions = [ASKED[number % len(ASKED)] for number in range(len(shown))]
    with progress.step("asking transformers"):
        expected = transformers_answers(loaded, shown, questions)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "onnx"
        write_graphs(opened, loaded.folder, root)
        with progress.step("comparing with PyTorch"):
            figures = parity.compare(
                opened.session(), Session.open(root, "fp32"), shown, questions, BATCH
            ) | against_transformers(Session.open(root, "fp32"), shown, questions, expected)
        # Float32 rounds larger logits more: TOLERANCE is for those of order 10.
        largest = max(float(np.abs(each.logits_TV).max()) for each in expected)
        tolerance = TOLERANCE * max(1.0, largest / 10)
        figures |= {"largest_logit": largest, "tolerance": tolerance}
        parity.check(figures, name, tolerance)
        _check(figures, name, tolerance)
        if precision != "fp32":
            with progress.step("quantizing"):
                _quantize(root, Questions(shown, questions, [""] * len(shown)), precision)
            quantized = against_transformers(Session.open(root, precision), shown, questions, expected)
            figures |= {f"{precision}_{key}": value for key, value in quantized.items()}
        config = {
            "model_type": "sightline", "variant": precision, "answers": True, "searches": False,
            "source": name, "architecture": opened.vlm.config["architecture"]["model_type"],
        }  # fmt: skip
        card = templates.render(
            "sightline.export", "converted_card.md", model=name, precision=precision,
            side=opened.vlm.vision.image_size, figures=figures,
        )  # fmt: skip
        with artifacts.create(out, "bundle", config, card) as folder:
            shutil.copytree(root / precision, folder / MODEL)
            tokenizer_files.copy(loaded.folder / TOKENIZER, folder)
            shutil.copyfile(root / PREPROCESSOR, folder / PREPROCESSOR)
            bundle_settings.write(folder / GENERATION, opened.settings)
            artifacts.write_json(folder / PARITY, figures)
    return figures


def write_graphs(opened: Opened, tokenizer: Path, root: Path) -> None:
    """root/fp32 with the graphs, and beside it what a session needs; answers of TOKENS at most, as in a
    calibration."""
    folder, vlm = root / "fp32", opened.vlm
    folder.mkdir(parents=True)
    for graph in progress.track(ANSWERING_ALONE, "exporting graphs"):
        onnx_graphs.export_graph(graph, vlm, None, folder / f"{graph}.onnx", OPSET)
    artifacts.write_json(folder / CONFIG, onnx_graphs.engine_config(vlm, None))
    tokenizer_files.copy(tokenizer / TOKENIZER, root)
    artifacts.write_json(root / PREPROCESSOR, vlm.vision.preprocessing.to_config())
    generation = opened.settings.generation
    short = generation.replaced(max_tokens=min(TOKENS, generation.max_tokens))
    bundle_settings.write(root / GENERATION, opened.settings.replaced(generation=short))


def transformers_answers(
    loaded: TransformersModel, pictures: Sequence[np.ndarray], questions: Sequence[str]
) -> list[Expected]:
    """Greedy answers of at most TOKENS tokens by `generate`, with the attention of transformers."""
    model, processor = loaded.model, loaded.processor
    made = []
    with image_text_model.stock_attention(model), torch.inference_mode():
        for picture, question in zip(pictures, questions, strict=True):
            inputs = processor(
                text=[chat_prompt.templated(processor, question)], images=[[Image.fromarray(picture)]],
                return_tensors="pt",
            )  # fmt: skip
            written = model.generate(
                **inputs, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None,
                max_new_tokens=TOKENS, return_dict_in_generate=True, output_logits=True,
            )  # fmt: skip
            ids = written.sequences[0, -len(written.logits) :].tolist()
            made.append(Expected(ids, torch.cat(written.logits).float().numpy()))
    return made


def against_transformers(
    session: Session, pictures: Sequence[np.ndarray], questions: Sequence[str], expected: Sequence[Expected]
) -> dict[str, Any]:
    """Of a session against `transformers_answers`: the largest difference of a logit along those answers, how
    many greedy answers differ, and how many of them at two tokens whose logits are closer than TOLERANCE."""
    worst, different, ties = 0.0, 0, 0
    inputs = session.decoding_inputs(session.settings.generation)
    for picture, question, each in zip(pictures, questions, expected, strict=True):
        ids_1S, mask_1S = session.question_ids([question])
        memory = session.memory(session.image_tokens(session.pixels([picture])), ids_1S, mask_1S, [()])
        kept = each.ids[: inputs.max_tokens]
        tokens_1T = np.array([[session.start, *kept[:-1]]])
        step = session.engine.step(tokens_1T, None, memory, inputs.k_L, 1.0, False)
        theirs_TV = each.logits_TV[: len(kept), : step.logits_BTV.shape[-1]]
        worst = max(worst, float(np.abs(step.logits_BTV[0] - theirs_TV).max()))
        (answer,) = greedy.generate(session.engine, memory, inputs)
        wanted = [token for token in kept if token != session.end]
        if answer.ids != wanted:
            pairs = zip([*answer.ids, None], [*wanted, None], strict=False)
            place = next(at for at, (mine, other) in enumerate(pairs) if mine != other)
            best = np.sort(theirs_TV[min(place, len(theirs_TV) - 1)])[-2:]
            tie = best[1] - best[0] < TOLERANCE
            different, ties = different + (not tie), ties + tie
    return {
        "transformers_max_logit_difference": worst, "transformers_answers": len(expected),
        "transformers_answers_different": different, "transformers_answers_near_tie": int(ties),
    }  # fmt: skip


def _check(figures: dict[str, Any], name: str, tolerance: float) -> None:
    worst, different = (
        figures[f"transformers_{key}"] for key in ("max_logit_difference", "answers_different")
    )
    if different or not worst <= tolerance:
        raise ParityError(
            f"{name}: the graphs do not compute what transformers does: a logit differs by {worst:.3g}, "
            f"allowed {tolerance:.3g}, and {different} of {figures['transformers_answers']} answers differ; "
            "nothing was written: report the model and the version of transformers"
        )


def _require_small(opened: Opened) -> None:
    vlm = opened.vlm
    parts = {"vision": [vlm.vision], "decoder": [vlm.language_model, vlm.head]}
    for name, modules in parts.items():
        size = sum(4 * each.numel() for module in modules for each in module.parameters())
        if size > MOST_BYTES:
            raise ValueError(
                f"the weights of its {name} take {size / 1e9:.1f} GB in float32, and a graph of one file "
                f"{MOST_BYTES / 1e9:.1f} GB at most: convert a smaller model"
            )


def _quantize(root: Path, questions: Questions, precision: str) -> None:
    """root/int8, and root/int4 where that is asked for."""
    with tempfile.TemporaryDirectory() as scratch:
        forms = variants.calibrate(root, "fp32", questions, [], Path(scratch) / "work", BATCH)
        variants.write_int8(root, "fp32", forms, {}, variants.calibration_digest(questions, []))
        if precision == "int4":
            variants.write_int4(root, forms)


def _fitting(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture as a square of that side, which neither processor resizes."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
