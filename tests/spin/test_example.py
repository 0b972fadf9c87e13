"""examples/spin_llava.py as a user starts it: on a tiny LLaVA in a folder, and without a network."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

from tests.support.tiny_vlms import IMAGE, PAD, VOCABULARY, build

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = (
    "{% for m in messages %}{% for part in m.content %}"
    "{% if part.type == 'image' %}<image> {% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


@pytest.fixture
def picture(tmp_path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def example(*words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(ROOT / "examples" / "spin_llava.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_it_answers_twice_and_names_heads(tmp_path, picture):
    names = {PAD: "<pad>", 1: "<s>", 2: "</s>", 3: "<unk>", IMAGE: "<image>"}
    words = {names.get(number, f"w{number}"): number for number in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )
    sizes = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}
    LlavaProcessor(
        CLIPImageProcessor(**sizes),
        fast,
        patch_size=2,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(tmp_path / "tiny")
    build("llava").model.save_pretrained(tmp_path / "tiny")
    settings = ["--keep", "0.5", "--alpha", "0", "--max-new-tokens", "4"]
    done = example(str(picture), "w5 w6", "--checkpoint", str(tmp_path / "tiny"), *settings)
    assert done.returncode == 0, done.stderr
    greedy, spun = (line.split(":", 1)[1].split() for line in done.stdout.splitlines()[:2])
    assert greedy and spun and greedy != spun
    assert "of the tokens" in done.stdout.splitlines()[-1]


def test_without_a_network_it_says_what_to_do(picture):
    done = example(str(picture), "--checkpoint", "llava-hf/no-such-model-here")
    assert done.returncode == 1
    assert "cannot load llava-hf/no-such-model-here" in done.stderr
    assert "run this where there is a network" in done.stderr and "Traceback" not in done.stderr
