"""The real commands in a tiny checkout, and the parts behind them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sightline.core import artifacts
from sightline.core.params.generation import SPIN_OFF
from sightline.explain import failure_browser, faithfulness_benchmark, head_views, masked_word, match, target
from sightline.inference import lazy_models, torch_session
from sightline.inference.bundle_settings import greedy_generation
from sightline.inference.confidence import NOT_FITTED
from sightline.inference.out_of_domain import OODDetector
from sightline.inference.session import Session
from sightline.search import bundle
from sightline_lab.bench import explanation_cost
from sightline_lab.faithfulness import faithfulness_page, randomization
from sightline_lab.faults import dear_pictures
from tests.support import command_line, params_files, tiny

ROOT = Path(__file__).resolve().parents[2]
EVIL = "<script>alert(1)</script>"


def keep(folder, kind, model):
    with artifacts.create(folder, kind, model.config) as filling:
        arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        artifacts.save_weights(filling / "weights.safetensors", arrays)
        tiny.tokenizer().save(filling / "tokenizer.json")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, tiny_graphs):
    """A checkout whose models are random: what it says is nonsense, how it says it is not."""
    here = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "dvc.yaml", here / "dvc.yaml")
    params_files.write(here, "scenes")
    vlm, clip = tiny.models(tiny.tokenizer().size)
    keep(here / "models" / "vlm", "vlm", vlm)
    keep(here / "models" / "text", "text", clip.text)
    with artifacts.create(here / "models" / "onnx", "onnx", {"variants": ["fp32"], "shipped": "fp32"}) as out:
        shutil.copytree(tiny_graphs, out, dirs_exist_ok=True)
    items = tiny.raw(here / "data" / "raw")
    artifacts.write_json(here / "data" / "raw" / "config.json", {"image_side": 64, "source": "scenes"})
    triple = {"item": 0, "type": "color", "question": tiny.QUESTIONS[0], "answer": "red", "object": "ball"}
    with artifacts.create(here / "data" / "vqa", "vqa", {"objects": {"ball": ["ball"]}}) as vqa:
        (vqa / "test.jsonl").write_text(json.dumps(triple) + "\n")
    session = Session.load_variant(here / "models" / "onnx", "fp32")
    known = OODDetector(np.zeros(32), np.eye(32), 1e9)
    inputs = bundle.BundleInputs(
        artifacts.load(here / "models" / "onnx", "onnx"), session, NOT_FITTED,
        greedy_generation(tiny.MAX_ANSWER), SPIN_OFF, known, tiny.question_detector(), items,
        bundle.DataOrigin("scenes", "en", "a" * 64), [],
    )  # fmt: skip
    bundle.write(here / "models" / "bundle", inputs, tiny.index_params(), 10**6)
    Image.fromarray(tiny.pictures(1)[0]).save(here / "odd <name>.png")
    lines = [
        triple | {"prediction": "blue", "confidence": 0.5, "image": "item-0"},
        triple | {"prediction": "the red.", "confidence": 0.9, "image": "item-0"},
        triple | {"prediction": EVIL, "confidence": 0.8, "image": "item-0", "item": 1},
    ]
    with artifacts.create(here / "metrics" / "evaluate", "metrics", {}) as measured:
        said = "".join(json.dumps(line) + "\n" for line in lines)
        (measured / "predictions-test-shipped-spin_off.jsonl").write_text(said)
    return here


@pytest.fixture(scope="module")
def model(checkout):
    session = Session.load(checkout / "models" / "bundle")
    return target.ExplainedModel(session, SPIN_OFF, lambda: lazy_models.vlm(checkout / "models" / "vlm"), 7)


def sightline(here, *words, torch=True, ok=True):
    done = command_line.run(here, *words, torch=torch)
    assert (done.returncode == 0) is ok, done.stderr[-2000:]
    return done


def test_explaining_by_attention_needs_no_torch(checkout, tmp_path):
    out = tmp_path / "page.html"
    asked = ("explain", "odd <name>.png", tiny.QUESTIONS[0])
    said = sightline(checkout, *asked, "-o", str(out), torch=False)
    assert f"wrote {out}" in said.stdout and "Q: What color is the ball?" in said.stdout
    page = out.read_text()
    buttons = re.findall(r'<button data-view="\d+" aria-pressed="\w+">([^<]*)</button>', page)
    assert buttons[:3] == ["all heads", "layer 0", "head 0.0"] and len(buttons) == 1 + 2 * (1 + 4)
    assert "odd &lt;name&gt;.png" in page and "odd <name>" not in page
    assert not re.search(r"https?:|url\(|@import", page)


def test_methods_side_by_side(checkout, tmp_path):
    out = tmp_path / "page.html"
    wanted = ["--method", "occlusion", "--method", "gradient_attention"]
    sightline(checkout, "explain", "odd <name>.png", tiny.QUESTIONS[0], *wanted, "-o", str(out))
    assert re.findall(r'aria-pressed="\w+">([^<]*)</button>', out.read_text()) == wanted[1::2]


def test_an_unknown_method_is_one_line(checkout, tmp_path):
    out = tmp_path / "page.html"
    done = sightline(
        checkout, "explain", "odd <name>.png", "Is it?", "--method", "oclusion", "-o", str(out), ok=False
    )
    assert done.returncode == 2 and "did you mean 'occlusion'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_a_dear_picture_is_one_line(checkout, tmp_path):
    (tmp_path / "dear.gif").write_bytes(dear_pictures.gif_of_comments(4 << 20))
    asked = ("explain", str(tmp_path / "dear.gif"), tiny.QUESTIONS[0])
    done = sightline(checkout, *asked, "-o", str(tmp_path / "page.html"), torch=False, ok=False)
    assert "dear.gif has more than 20,000 blocks" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "page.html").exists()


def test_explain_match(checkout, model, tmp_path):
    out, text = tmp_path / "page.html", "a small red ball"
    said = sightline(checkout, "explain", "odd <name>.png", "--caption", text, "-o", str(out), torch=False)
    assert "similarity" in said.stdout and out.exists()
    found = match.explain(model, tiny.pictures(1)[0], text)
    assert [heat.provenance["word"] for heat in found.words] == ["whole", "a", "small", "red", "ball"]
    image = model.session.embed_images([tiny.pictures(1)[0]])[0]
    assert found.confidence == pytest.approx(float(image @ model.session.embed_texts([text])[0]), abs=1e-5)
    assert sightline(checkout, "explain", "odd <name>.png", "--caption", " ", ok=False).returncode == 2


def test_explain_word(checkout):
    said = sightline(checkout, "explain", "--masked", "a small [MASK] ball").stdout
    assert said.startswith("[MASK]: ") and said.count("\n") == 2 + 3 + 1
    assert "write it once" in sightline(checkout, "explain", "--masked", "a ball", ok=False).stderr


def test_a_masked_word_is_carried_completely(checkout):
    """What the words add sums to the gain over a text of masks only (the axiom of integrated gradients)."""
    tower, tokenizer = lazy_models.text(checkout / "models" / "text"), tiny.tokenizer()
    found = masked_word.explain(tower, tokenizer, "a small [MASK] ball")
    likeliest = tokenizer.encode(found.words[0][0], 8, special=False)
    assert 0 < found.words[0][1] <= 1 and found.words == sorted(found.words, key=lambda each: -each[1])

    def log_prob(ids):
        ids_1T = torch.tensor([ids])
        with torch.no_grad():
            states = tower(ids_1T, torch.ones(ids_1T.shape, dtype=torch.bool))
            return tower.mlm_logits(states)[0, 3].log_softmax(-1)[likeliest[0]].item()

    words = [tokenizer.encode(word, 8, special=False)[0] for word in ("a", "small", "ball")]
    whole = [tokenizer.bos, *words[:2], tokenizer.mask, words[2], tokenizer.eos]
    bare = [tokenizer.bos, *[tokenizer.mask] * 4, tokenizer.eos]
    gain = log_prob(whole) - log_prob(bare)
    assert sum(value for _, value in found.carried_by) == pytest.approx(gain, abs=0.02 * abs(gain) + 1e-3)


def test_failures_are_wrong_and_surest_first(checkout, tmp_path):
    out = tmp_path / "page.html"
    said = sightline(checkout, "failures", "-o", str(out), torch=False).stdout
    assert said.startswith("failures: 2 of 3 answers on test, the 2 surest in")
    page = out.read_text()
    assert page.count("<article") == 2 and "<script>alert" not in page
    assert not re.search(r"https?:|url\(|@import", page)


def test_failures_read_and_choose(tmp_path):
    def line(kind, prediction, confidence, item=0):
        return {
            "type": kind, "answer": "red", "prediction": prediction, "confidence": confidence, "item": item,
            "question": f"{kind}?",
        }  # fmt: skip

    path = tmp_path / "said.jsonl"
    lines = [
        line("color", "blue", 0.1), line("color", "red", 0.9), line("color", "pink", 0.7, 1),
        line("color", "green", 0.8, 2), line("describe", "a cup", 0.3), line("describe", "a ball", 0.9),
    ]  # fmt: skip
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    found = failure_browser.read(
        path, str.__eq__, lambda said: ["cup"] if "cup" in said["prediction"] else []
    )
    assert [each.line["prediction"] for each in found] == ["green", "pink", "a cup", "blue"]
    assert found[2].why == "hallucinated: cup"
    # Every type has its turn before the next of the same type.
    assert [each.line["prediction"] for each in failure_browser.surest(found, 2)] == ["green", "a cup"]
    with pytest.raises(ValueError, match="no such file; run `dvc repro evaluate`"):
        failure_browser.read(tmp_path / "none.jsonl", str.__eq__, lambda said: [])


def test_heads_of_an_answer_add_up(model):
    ids = tiny.tokenizer().encode("red", 8, special=False)
    views = head_views.views(model, target.force(model, tiny.pictures(1)[0], tiny.QUESTIONS[0], ids))
    each = [views[f"head {layer}.{head}"].words[0].scores for layer in range(2) for head in range(4)]
    np.testing.assert_allclose(views["all heads"].words[0].scores, np.mean(each, axis=0), atol=1e-7)
    np.testing.assert_allclose(views["layer 1"].words[0].scores, np.mean(each[4:], axis=0), atol=1e-7)


def test_shuffled_weights_are_the_same_numbers_elsewhere(model):
    vlm = model.trained()
    broken = randomization.shuffled(vlm, ("decoder",), 3)
    for (name, was), now in zip(vlm.named_parameters(), broken.parameters(), strict=True):
        torch.testing.assert_close(was.flatten().sort().values, now.flatten().sort().values)
        if not name.startswith("decoder"):
            assert torch.equal(was, now)
    twin = randomization.shuffled(vlm, ("decoder",), 3)
    assert all(torch.equal(one, two) for one, two in zip(broken.parameters(), twin.parameters(), strict=True))
    assert not torch.equal(vlm.decoder.layers[0].cross_attention.key.weight,
                           broken.decoder.layers[0].cross_attention.key.weight)  # fmt: skip


def test_the_battery_measures_every_method(model, checkout, monkeypatch):
    monkeypatch.setattr(
        faithfulness_benchmark.registry, "names", lambda folder: ["cross_attention", "occlusion", "random"]
    )
    ids = tiny.tokenizer().encode("red", 8, special=False)
    cases = [
        faithfulness_benchmark.LocatedAnswer(
            target.force(model, rgb, tiny.QUESTIONS[0], ids), True, (0, 0, 4, 4), {}
        )
        for rgb in tiny.pictures(3)
    ]
    broken = {
        name: target.ExplainedModel(
            torch_session.session(other, None, checkout / "models" / "onnx"),
            SPIN_OFF,
            lambda other=other: other,
            7,
        )
        for name, parts in randomization.PARTS.items()
        for other in [randomization.shuffled(model.trained(), parts, 3)]
    }
    measured = faithfulness_benchmark.measure(model, broken, cases, cases, 2)
    table = faithfulness_benchmark.summary(measured, 7)
    again = faithfulness_benchmark.measure(model, broken, cases, cases, 2)
    assert faithfulness_benchmark.summary(again, 7) == table
    assert table["random"]["deletion_p"] is None and 0 < table["occlusion"]["deletion_p"] <= 1
    assert [table["occlusion"][name] for name in ("n", "removals", "checks")] == [3, 1, 2]
    assert table["random"]["randomised decoder"] == 1  # a control asks no model
    assert table["cross_attention"]["randomised decoder"] < 1
    for row in table.values():
        for name, (low, high) in row["intervals"].items():
            assert low <= row[name] <= high, name
    unknown = faithfulness_benchmark.LocatedAnswer(cases[0].answer, True, None, {})
    bare = [faithfulness_benchmark.LocatedAnswer(each.answer, True, None, {}) for each in cases]
    photos = faithfulness_benchmark.measure(model, broken, bare, cases[:2], 2)  # places of other cases
    assert {name: len(figures["pointing"]) for name, figures in photos.items()} == dict.fromkeys(photos, 2)
    for name, figures in photos.items():
        assert figures["deletion_mean"] == measured[name]["deletion_mean"]
        assert figures["mass_inside"] == measured[name]["mass_inside"][:2]
    page = faithfulness_page.photo_page({
        "source": "flickr8k", "split": "test", "question": "?",
        "methods": faithfulness_benchmark.summary(photos, 7),
        "shipped": {"n": 3, "method": "cross_attention", "rank_correlation": 0.5},
    })  # fmt: skip
    assert page.count("\n| `") == 2 * 3 and "correlation of 0.500" in page
    low, high = faithfulness_benchmark.summary(photos, 7)["occlusion"]["intervals"]["mass_inside"]
    assert f"[{low:.2f}, {high:.2f}]" in page
    same = faithfulness_benchmark.compare_variants(model, model, "cross_attention", [*cases, unknown])
    assert same["rank_correlation"] == 1 and same["pointing_fp32"] == same["pointing_shipped"]
    assert (same["n"], same["pointed"]) == (4, 3)
    nothing = faithfulness_benchmark.compare_variants(model, model, "cross_attention", [unknown])
    assert nothing["pointed"] == 0 and nothing["pointing_fp32"] is None and nothing["rank_correlation"] == 1
    assert (
        faithfulness_benchmark.compare_variants(model, model, "cross_attention", [])["rank_correlation"]
        is None
    )
    result = {"split": "test", "question": "?", "methods": table, "shipped": same}
    result["quantus"] = {"n": 8, "correlation": {"pointing": 1.0, "mass_inside": 0.99949}}
    result["cost"] = explanation_cost.ratios(model, tiny.pictures(2), list(tiny.QUESTIONS[:2]), 2)
    assert [row["ratio"]["q1"] <= row["ratio"]["q3"] for row in result["cost"]] == [True, True]
    page = faithfulness_page.page(result)
    assert page.count("\n| `") == 3 and "What falls short:" in page
    assert "does not beat `random`" in page  # so few cases cannot: p is 1/2 at best
    assert "over 8 maps" in page and "1.000 (pointing), 0.999 (mass inside)" in page
    absent = faithfulness_page.page(result | {"quantus": {"n": 0, "absent": "it needs Quantus"}})
    assert "Not compared with Quantus: it needs Quantus." in absent
    assert all(f'to "{question}"' in page for question in tiny.QUESTIONS[:2])


def test_which_answers_are_compared(model, tmp_path):
    """Of scenes color questions about a kind that is there once, with its box. Photos have none; without any
    color question the other short ones are asked."""
    ball, ring = (
        {"kind": kind, "color": "red", "size": "small", "box": [0, 0, 4, 4]} for kind in ("ball", "ring")
    )
    tiny.raw(tmp_path / "raw", 5)
    lines = [json.loads(line) for line in (tmp_path / "raw" / "items.jsonl").read_text().splitlines()]
    lines[1]["scene"] = {"objects": [ball, ball, ring]}
    del lines[2]["scene"]
    (tmp_path / "raw" / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    artifacts.write_json(tmp_path / "raw" / "config.json", {"image_side": 64, "source": "scenes"})
    color = {"type": "color", "question": tiny.QUESTIONS[0], "answer": "red", "object": "ball"}
    yes = {"type": "existence", "question": tiny.QUESTIONS[1], "answer": "yes", "object": "cup", "item": 2}
    triples = [color | {"item": item} for item in (0, 0, 1, 2)] + [yes]

    def found(triples, right):
        (tmp_path / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in triples))
        return list(
            faithfulness_benchmark.located_answers(
                model, tmp_path / "raw", tmp_path, "test", lambda *_: right
            )
        )

    assert [each.box for each in found(triples, True)] == [(0, 0, 4, 4), None]
    assert [each.right for each in found(triples, False)] == [False, False]
    assert [each.answer.question for each in found([yes], True)] == [tiny.QUESTIONS[1]]


def test_one_pixel_shift():
    rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    moved = faithfulness_benchmark.shifted(rgb)
    np.testing.assert_array_equal(moved[:, 1:], rgb[:, :-1])
    np.testing.assert_array_equal(moved[:, 0], rgb[:, 0])


def test_the_battery_says_when_there_is_nothing_to_measure(checkout):
    done = sightline(checkout, "lab", "faithfulness", "--items", "2", ok=False)
    assert "too few test questions about a color were answered correctly" in done.stderr
    assert not (checkout / "metrics" / "faithfulness.json").exists()


def test_maps_for_a_persons_verdict(checkout, tmp_path):
    done = sightline(
        checkout, "lab", "maps", "--method", "cross_attention", "--method", "random", "-o", str(tmp_path)
    )
    assert "maps: 1 answers by cross_attention, random" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "maps.png", "verdicts.md"]
