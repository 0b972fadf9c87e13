"""torch.compile: what is compiled, that it computes the same, and what is said where nothing can be."""

import pytest
import torch
from torch._inductor import config

from sightline.models.layers import DecoderLayer
from sightline.train import compiled
from tests.support import tiny


def test_towers_and_decoder_layers_are_compiled_and_names_stay():
    vlm, clip = tiny.models(tiny.tokenizer().size)
    before = list(vlm.state_dict())
    compiled.compile_parts(vlm)
    compiled.compile_parts(clip)
    layers = [module for module in vlm.modules() if isinstance(module, DecoderLayer)]
    parts = [vlm.vision, vlm.text, *layers, clip.vision, clip.text]
    assert layers and all(part._compiled_call_impl is not None for part in parts)
    assert list(vlm.state_dict()) == before


def test_without_a_compiler_a_line_says_so_and_nothing_is_compiled(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # where no finished program lies
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    torch._dynamo.reset()
    assert not compiled.works("cpu")
    assert "training.compile: nothing is compiled, since torch.compile does not work on cpu here" in (
        capsys.readouterr().err
    )


@pytest.mark.full
def test_a_compiled_model_has_the_same_loss_and_gradients():
    """Fused sums in another order: float32 keeps seven digits, and a hundred layers' worth of them 1e-4."""
    assert compiled.works("cpu")
    found = []
    for with_compiler in (False, True):
        _, clip = tiny.models(tiny.tokenizer().size)
        clip.train()
        if with_compiler:
            compiled.compile_parts(clip)
        torch.manual_seed(0)
        ids_BT = torch.randint(5, 40, (4, 9))
        _, image_BE = clip.encode_image(torch.randn(4, 3, 32, 32))
        _, text_BE = clip.encode_text(ids_BT, torch.ones_like(ids_BT, dtype=torch.bool))
        loss = (image_BE * text_BE).sum()
        loss.backward()
        found.append(
            (loss.detach(), {name: p.grad for name, p in clip.named_parameters() if p.grad is not None})
        )
    torch.testing.assert_close(found[1][0], found[0][0], atol=1e-4, rtol=1e-4)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, atol=1e-3, rtol=1e-3, msg=name)
