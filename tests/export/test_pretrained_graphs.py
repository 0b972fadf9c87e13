"""The graphs of a pretrained CLIP and SigLIP in ONNX Runtime against PyTorch, and their int8 forms."""

import numpy as np
import pytest

from sightline.core.artifacts import write_json
from sightline.core.params.dual_encoder_params import DualEncoderParams
from sightline.export import onnx_graphs
from sightline.inference.onnx_engine import CONFIG, SEARCH_SIDE, OnnxEngine
from sightline.inference.torch_engine import TorchEngine
from sightline.models import pretrained_dual_encoder
from sightline_lab.pretrained import small_checkpoints
from sightline_lab.pretrained.small_checkpoints import Pairs


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_graphs_compute_what_pytorch_computes(kind, tmp_path):
    draw = np.random.default_rng(0)
    pairs = Pairs(
        list(draw.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)), [["a red cup"], ["a ring"]] * 2
    )
    getattr(small_checkpoints, kind)(tmp_path / kind, pairs, 1, 0, 32)
    given = {"name": "", "revision": "", "checkpoint": str(tmp_path / kind), "image_size": 0}
    clip = pretrained_dual_encoder.load(
        DualEncoderParams(**given), 24, pretrained_dual_encoder.NO_HEADS
    ).eval()
    folder = tmp_path / "onnx"
    folder.mkdir()
    write_json(folder / CONFIG, onnx_graphs.engine_config(None, clip))
    for graph in SEARCH_SIDE:
        onnx_graphs.export_graph(graph, None, clip, folder / f"{graph}.onnx", 20)
    engines = TorchEngine(None, clip), OnnxEngine(folder)
    for batch, length in ((1, 5), (3, 24)):
        pixels = draw.normal(size=(batch, 3, 32, 32)).astype(np.float32)
        ids = draw.integers(2, clip.config["vocab_size"], (batch, length))
        mask = np.arange(length) < draw.integers(2, length + 1, (batch, 1))
        ours, theirs = ((*each.embed_images(pixels), *each.embed_texts(ids, mask)) for each in engines)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4, rtol=0)
        tokens, _, states, _ = ours
        match = [each.match(tokens, states, mask) for each in engines]
        np.testing.assert_allclose(*match, atol=1e-3, rtol=0)
