"""What a trained artifact carries beside its weights."""

import pytest

from sightline.core import artifacts
from sightline.core.hub_files import TOKENIZER_FILES
from sightline.data.tokenizer import Tokenizer
from sightline.train import save_model
from tests.support import pretrained_tokenizers, tiny


@pytest.mark.parametrize("origin", ["learned here", "pretrained"])
def test_a_trained_artifact_keeps_the_tokenizers_files_as_they_are(tmp_path, origin):
    """Byte for byte, or a resumed training would take them for another tokenizer; none is added."""
    source = tmp_path / "source"
    source.mkdir()
    if origin == "learned here":
        tiny.tokenizer().save(source / "tokenizer.json")
    else:
        pretrained_tokenizers.gpt2(source)
    save_model.write_tokenizer(tmp_path / "text", source / "tokenizer.json")
    written = artifacts.load(tmp_path / "text", "text").path
    kept = {path.name: path.read_bytes() for path in source.iterdir()}
    assert kept == {
        name: (written / name).read_bytes() for name in TOKENIZER_FILES if (written / name).exists()
    }
    assert ("tokenizer_config.json" in kept) is (origin == "pretrained")
    assert Tokenizer.load(written / "tokenizer.json").size > 0
