"""Models of transformers audited from their folder: LLaVA, Idefics3 (SmolVLM's family), Qwen2-VL, and Mllama,
whose pictures come by cross-attention. Their weights are random: what is tested is that each is asked as its
family is."""

import pytest
import torch
import transformers

from sightline.audit import run_audit
from sightline.audit.endpoint_answerer import Budget
from sightline.audit.transformers_answerer import TransformersAnswerer
from sightline.data import images
from tests.support import vision_models
from tests.support.command_line import run

TOKENS = 5


CASES = [(family, chat) for family in vision_models.FAMILIES for chat in (True, False)]


@pytest.fixture(scope="module", params=CASES, ids=lambda it: f"{it[0]}-{'chat' if it[1] else 'plain'}")
def folder(request, tmp_path_factory):
    return vision_models.save(tmp_path_factory.mktemp("model"), *request.param)


def replies(folder, requests, batch: int) -> dict:
    made = TransformersAnswerer(str(folder), None, batch)
    return {request.key: reply for request, reply in made.answers(requests)}


def test_an_answer_depends_on_the_picture_and_not_on_its_neighbours(folder, small):
    requests = small.requests(TOKENS)[:12]
    together, alone = replies(folder, requests, 4), replies(folder, requests, 1)
    assert len(together) == len(requests)
    for key, reply in together.items():
        # Padding and batching may move the last bits of the logits, never the words here.
        assert reply.text == alone[key].text
        assert reply.probability == pytest.approx(alone[key].probability, rel=1e-3)
        assert reply.prompt_tokens == alone[key].prompt_tokens > 5
        assert 1 <= reply.completion_tokens <= 4 * TOKENS and 0.0 < reply.probability <= 1.0
    asked = {}
    for request in small.requests(TOKENS):
        asked.setdefault(request.text, []).append(request)
    same_words = next(found for found in asked.values() if len({it.picture.digest for it in found}) >= 3)[:3]
    assert len({reply.probability for reply in replies(folder, same_words, 3).values()}) == 3


def test_the_words_are_those_of_greedy_decoding_and_the_probability_is_theirs(tmp_path, small):
    """Against a plain loop over the model's forward pass."""
    folder = vision_models.save(tmp_path, "llava")
    request = small.requests(TOKENS)[0]
    reply = replies(folder, [request], 1)[request.key]
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    rgb = images.decode(request.picture.data, 10**6)
    inputs = processor(text=[f"USER: <image>\n{request.text} ASSISTANT:"], images=[rgb], return_tensors="pt")
    ids, log_probability = inputs["input_ids"], 0.0
    for _ in range(TOKENS):
        with torch.no_grad():
            logits = model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -1]
        token = int(logits.argmax())
        log_probability += float(logits.log_softmax(-1)[token])
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        if token == processor.tokenizer.eos_token_id:
            break
    written = processor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert reply.text == written.strip()
    assert reply.probability == pytest.approx(float(torch.tensor(log_probability).exp()), rel=1e-3)


def test_the_command_audits_a_folder(tmp_path):
    vision_models.save(tmp_path / "tiny-llava", "llava")
    words = ("audit", "tiny-llava", "--items", 2, "--answer-tokens", 3, "-o", "out")
    done = run(tmp_path, *words, code=0)
    assert "requests to tiny-llava" in done.stdout and "Loading weights" not in done.stderr
    _, kept, report = run_audit.read(tmp_path / "out")
    assert report.model.form == "transformers" and len(report.model.version) == 64 and report.reliability
    assert all(reply.completion_tokens for reply in kept.values())
    assert run(tmp_path, *words, code=0).stdout == done.stdout


def test_a_model_that_is_none_for_pictures_and_texts_is_refused(tmp_path):
    config = transformers.LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                      num_attention_heads=1)  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="cannot load it as an image-text-to-text model"):
        TransformersAnswerer(str(tmp_path), None, 1)


def test_weights_that_could_run_code_are_not_read(tmp_path):
    folder = vision_models.save(tmp_path, "llava")
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="safetensors"):
        TransformersAnswerer(str(folder), None, 1)


def test_a_name_on_the_hub_needs_a_commit(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="OWNER/NAME on the Hugging Face Hub with --revision COMMIT"):
        TransformersAnswerer("owner/name", None, 1)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(
        ValueError, match="cannot get owner/name at aaaaaaaaaa from the hub .* give its folder"
    ):
        TransformersAnswerer("owner/name", "a" * 40, 1)


def test_it_goes_on_where_it_was_stopped(tmp_path, small):
    """An audit of which half is answered asks the other half alone."""
    model = TransformersAnswerer(str(vision_models.save(tmp_path / "model", "llava")), None, 4)

    class Stopping:
        identity = model.identity

        def answers(self, requests):
            for number, pair in enumerate(model.answers(requests)):
                if number == 20:
                    raise ValueError("stopped")
                yield pair

    with run_audit.folder(tmp_path / "out") as out:
        with pytest.raises(ValueError, match="stopped"):
            run_audit.run(small, Stopping(), out, 3, Budget())
        first = run_audit.kept_replies(out)
        assert len(first) == 20
        run_audit.run(small, model, out, 3, Budget())
        assert {key: run_audit.kept_replies(out)[key] for key in first} == first
