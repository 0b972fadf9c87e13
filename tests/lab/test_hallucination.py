"""`sightline lab hallucination`: its ideas, its rule and verdicts by hand, and the command on tiny scenes."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sightline.core import artifacts
from sightline.core.preprocessing import Preprocessing
from sightline.data.questions.convert_captions import convert
from sightline.data.scenes import sample as sampling
from sightline.data.sources import scenes
from sightline.data.tokenizer import Tokenizer
from sightline.evaluate import bootstrap, split_contents
from sightline.evaluate.metrics import chair
from sightline.evaluate.scoring import Group
from sightline.evaluate.split_contents import Split
from sightline.inference import bundle_settings, torch_session
from sightline.spin.gate import published
from sightline_lab.ablations import arms as planning
from sightline_lab.hallucination import (
    comparison,
    decode_runner,
    decoding_configs,
    hallucination_study,
    parallel_runner,
)
from sightline_lab.hallucination import hallucination_page as page
from sightline_lab.hallucination.comparison import Paired
from sightline_lab.hallucination.decoding_configs import GREEDY, DecodingConfig, DecodingConfigError
from sightline_lab.hallucination.gate_variants import GateVariant
from tests.support import command_line, params_files, tiny

ROOT = Path(__file__).resolve().parents[2]
IDEAS = """
spin:
  why: the paper's
  search: {keep: [0.5, 0.25], alpha: [0.0]}
  controls: [random, inverse]
layered:
  why: one layer
  with: {rescale: true, describe_only: true}
  search: {keep: [[1.0, 0.5]], alpha: [0.0, 0.5]}
vcd:
  why: noise
  with: {contrast: noise, strength: 1.0}
guided:
  why: candidates
  with: {contrast: noise, strength: 1.0, describe_only: true}
  search: {candidates: [2, 3]}
  controls: [chance]
pai:
  why: no picture
  with: {contrast: no_image}
  search: {image_gain: [0.5], strength: [0.1]}
"""


def ideas(folder: Path, text: str) -> list[decoding_configs.Idea]:
    (folder / "lab").mkdir()
    (folder / "lab/hallucination_decoding.yaml").write_text(text, encoding="utf-8")
    return decoding_configs.read(folder / "lab/hallucination_decoding.yaml")


def test_every_combination_is_tried(tmp_path):
    spin, layered, vcd, guided, pai = ideas(tmp_path, IDEAS)
    assert spin.configs == [DecodingConfig(keep=0.5, alpha=0.0), DecodingConfig(keep=0.25, alpha=0.0)]
    assert [config.alpha for config in layered.configs] == [0.0, 0.5] and layered.configs[0].keep == (
        1.0,
        0.5,
    )
    assert vcd.configs[0].passes == pai.configs[0].passes == 2 and spin.configs[0].passes == 1
    assert layered.configs[1].changes() == {
        "keep": [1.0, 0.5], "alpha": 0.5, "rescale": True, "describe_only": True,
    }  # fmt: skip
    assert decoding_configs.control(layered.configs[0], "random").ranking == "random"
    assert layered.configs[0].for_question(describe=False) == GREEDY
    two, three = guided.configs
    assert (two.candidates, three.candidates) == (2, 3) and two.choice == "likeness"
    assert decoding_configs.control(three, "chance") == replace(three, choice="chance")
    assert (
        replace(three, describe_only=False).for_question(describe=False) == vcd.configs[0]
    )  # short answers have one


def test_heads_kept_count_the_heads_that_can_be_suppressed():
    typical = [[0.1, 0.1, 0.5, 0.5, 0.5], [0.5] * 5]
    assert DecodingConfig(keep=0.7).heads_kept(typical).tolist() == [3, 3]
    assert DecodingConfig(keep=0.7, protect=0.2).heads_kept(typical).tolist() == [2, 3]
    assert DecodingConfig(keep=(1.0, 0.2), protect=0.2).heads_kept(typical).tolist() == [5, 1]
    assert DecodingConfig(keep=0.7).rule(typical, 0) is published
    assert DecodingConfig(keep=0.7, soft=True).rule(typical, 3) == GateVariant(typical, soft=True, seed=3)
    with pytest.raises(DecodingConfigError, match="one share for each of 2 layers"):
        DecodingConfig(keep=(0.5,)).heads_kept(typical)


@pytest.mark.parametrize(
    "text, named",
    [
        ("a: {search: {keep: [0.5]}}", "a: expected why"),
        ("a: {why: x, look: 1}", "a: expected why"),
        ("a: {why: x, search: {kep: [0.5]}}", "a: no field kep"),
        ("a: {why: x, controls: [best]}", "a: no control best"),
        ("a: {why: x, search: {keep: [0.5, 0]}}", "a: keep is 0, expected shares"),
        ("a: {why: x, with: {contrast: blur}}", "a: contrast is 'blur', expected one of none, noise"),
        ("a: {why: x, with: {candidates: 0}}", "a: candidates is 0, expected 1 (no others) or more"),
        ("a: {why: x, search: {temperature: [0.5, 0]}}", "a: temperature is 0, expected more than 0"),
        ("a: {why: x, with: {choice: best}}", "a: choice is 'best', expected one of likeness, chance"),
        ("[]", "expected ideas by name"),
    ],
)
def test_a_wrong_idea_is_named(tmp_path, text, named):
    with pytest.raises(DecodingConfigError, match=re.escape(named)):
        ideas(tmp_path, text)


def test_what_is_said_plainly_is_said_by_the_arm_of_the_way():
    config = DecodingConfig(arm="one-phase", keep=0.5, describe_only=True)
    assert config.for_question(describe=False) == DecodingConfig(arm="one-phase")
    assert config.for_question(describe=True) == replace(config, describe_only=False)


def test_the_shipped_ideas_can_be_read():
    ideas = {idea.name: idea for idea in decoding_configs.read(ROOT / "lab/hallucination_decoding.yaml")}
    assert {"spin", "rescaled", "protected", "relative", "soft", "by-layer", "vcd", "pai"} <= set(ideas)
    assert ideas["spin"].controls == ["random", "inverse"]
    assert all(
        config.describe_only
        for idea in decoding_configs.read(ROOT / "lab/hallucination_photos.yaml")
        for config in idea.configs
    )
    assert GREEDY.arm == planning.DEFAULT


def figures(chair, recall=90.0, pope=95.0, vqa=93.0):
    return {
        "shift chair chair_i": chair, "shift chair recall": recall, "shift pope accuracy": pope,
        "usual vqa accuracy": vqa,
    }  # fmt: skip


def test_the_rule_by_hand():
    greedy = figures(3.0)
    tried = [figures(2.9), figures(1.0, recall=88.5), figures(2.5, vqa=92.0), figures(2.5)]
    assert (
        comparison.choose(tried, greedy) == 2
    )  # the second loses 1.5 points of recall, the last comes later
    costly = [figures(1.0, recall=80.0), figures(2.0, recall=87.0, pope=93.5)]
    assert comparison.excess(costly[1], greedy) == pytest.approx(2.0 + 0.5)
    assert comparison.choose(costly, greedy) == 1


def outcome(value, loss_bound, p=0.001, lower=False):
    return Paired("f", "shift", 5.0, 5.0 + value, value, value - 1, value + 1, loss_bound, p, lower)


@pytest.mark.parametrize(
    "tests, expected",
    [
        ([outcome(-1.0, -0.1, lower=True), outcome(0.1, 0.5, p=0.9)], "helps"),
        ([outcome(-1.0, -0.1, lower=True), outcome(-0.5, 1.4, p=0.9)], "trades"),
        ([outcome(-1.0, -0.1, lower=True), outcome(-0.5, 0.8)], "trades"),
        ([outcome(-2.0, 2.5), outcome(0.1, 0.5, p=0.9)], "hurts"),
        ([outcome(1.0, 1.5, lower=True)], "hurts"),
        ([outcome(0.1, 0.5, p=0.9)], "no difference"),
        ([outcome(0.1, 1.5, p=0.9)], "unclear"),
    ],
)
def test_verdicts_by_hand(tests, expected):
    assert comparison.verdict(tests, [test.p for test in tests]) == expected


def test_a_verdict_needs_the_sign_of_every_model():
    better = outcome(-1.0, -0.1, lower=True)
    agreed, split = (replace(better, by_model=gaps) for gaps in ((-0.5, -1.5), (0.1, -2.1)))
    assert comparison.verdict([agreed], [0.001]) == "helps"
    assert comparison.verdict([split], [0.001]) == "no difference"


def test_models_are_pooled_by_adding_the_counts_of_each_picture():
    """CHAIR_i of 1 of 4 and 2 of 4 is 3 of 8; resampled alike, every resample is a sum too."""
    weights_RC = np.array([[2.0, 0.0], [1.0, 1.0]])
    samples = [
        bootstrap.sample({"named": np.array([1.0, 3.0]), "wrong": np.array(wrong)}, weights_RC)
        for wrong in ([0.0, 1.0], [1.0, 1.0])
    ]
    (pooled,) = comparison.pool([[Group("chair", "scene truth", chair, one)] for one in samples])
    assert pooled.sample.total == {"named": 8.0, "wrong": 3.0} and pooled.sample.filled == 2
    np.testing.assert_array_equal(pooled.sample.resampled["wrong"], [2.0, 3.0])


def test_pieces_of_a_split_hold_every_question_once():
    count = 2 * parallel_runner.PART + 3
    triples = [{"type": "count", "question": f"q{n}"} for n in range(3 * count)]
    split = Split("test", Path(), list(range(7, 7 + count)), triples, [n // 3 for n in range(3 * count)],
                  [[str(n)] for n in range(count)], [{str(n)} for n in range(count)], True)  # fmt: skip
    pieces = list(parallel_runner.pieces_of(split))
    assert [len(piece.lines) for piece, _ in pieces] == [parallel_runner.PART, parallel_runner.PART, 3]
    assert sorted(index for _, indices in pieces for index in indices) == list(range(3 * count))
    piece, indices = pieces[1]
    assert [piece.triples[i] for i in (0, 149)] == [triples[i] for i in (indices[0], indices[149])]
    for index, picture in enumerate(piece.picture_of):
        assert piece.lines[picture] == split.lines[split.picture_of[indices[index]]]
        assert piece.captions[picture] == split.captions[split.picture_of[indices[index]]]


def test_all_ideas_are_corrected_together():
    by_idea = {"a": [outcome(1, 0, p=0.01), outcome(1, 0, p=0.5)], "b": [outcome(1, 0, p=0.02)]}
    assert comparison.corrected(by_idea) == {"a": [0.03, 0.5], "b": [0.04]}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with a dozen scenes a split and a random model."""
    here = tmp_path_factory.mktemp("checkout")
    shutil.copyfile(ROOT / "dvc.yaml", here / "dvc.yaml")
    (here / "lab").mkdir()
    (here / "lab/hallucination_decoding.yaml").write_text(IDEAS, encoding="utf-8")
    sizes = dict.fromkeys(sampling.SPLITS, 6) | {"train": 40}
    params = params_files.write(here, leaves={"data.sizes": sizes, "generation.max_tokens": 8})
    config = {"source": "scenes", "image_side": 64}
    with artifacts.create(here / "data" / "raw", "raw", config) as folder:
        config.update(scenes.build(params.data, 7, folder))
    raw, config = artifacts.load(here / "data" / "raw", "raw"), {}
    with artifacts.create(here / "data" / "vqa", "vqa", config) as folder:
        config.update(convert(raw, folder, params.convert, 7, params.data.max_pixels, True))
    tokenizer = Tokenizer.load(here / "data" / "vqa" / "tokenizer.json")
    vlm, clip = tiny.models(tokenizer.size)
    with torch.no_grad():  # says words, and other ones where its attention changes
        vlm.output_bias[: tokenizer.eos + 1] = -1e3
        vlm.embedding.weight.mul_(0.2)
        for layer in vlm.decoder.layers:
            layer.cross_attention.output.weight.mul_(20.0)
    for kind, model in (("vlm", vlm), ("clip", clip)):
        with artifacts.create(here / "models" / kind, kind, model.config, "# tiny\n") as folder:
            artifacts.save_weights(folder / "weights.safetensors", model.state_dict())
            tokenizer.save(folder / "tokenizer.json")
    settings = here / "models" / "onnx"
    settings.mkdir()
    tokenizer.save(settings / "tokenizer.json")
    artifacts.write_json(
        settings / "preprocessor_config.json", Preprocessing.plain(32, [0.5] * 3, [0.25] * 3).to_config()
    )
    bundle_settings.write(settings / "generation.json", tiny.settings())
    return here


@pytest.fixture(scope="module")
def runner(checkout):
    vlm = torch_session.load_vlm(checkout / "models" / "vlm")
    clip = torch_session.load_clip(checkout / "models" / "clip")
    session = torch_session.session(vlm, clip, checkout / "models" / "onnx")
    return decode_runner.DecodeRunner(vlm, session, decode_runner.DecodeSettings(8, 16), seed=7), session


def test_greedy_says_what_the_session_says(checkout, runner):
    runner, session = runner
    split = split_contents.read(checkout / "data" / "raw", checkout / "data" / "vqa", "test", 0)
    answers = runner.answers(split, [GREEDY])[GREEDY]
    pictures = list(split.rgb())
    for describe in (False, True):
        chosen = [i for i, t in enumerate(split.triples) if (t["type"] == "describe") == describe]
        expected = session.answer(
            [pictures[split.picture_of[i]] for i in chosen], [split.triples[i]["question"] for i in chosen],
            bundle_settings.greedy_generation(8), batch_size=16,
        )  # fmt: skip
        assert [answers[i] for i in chosen] == [answer.text for answer in expected]


def test_ways_that_change_nothing_are_greedy_and_the_others_are_not(checkout, runner):
    runner, _ = runner
    split = split_contents.read(checkout / "data" / "raw", checkout / "data" / "vqa", "shift_test", 0)
    runner.measure_typical(split)
    assert (
        np.shape(runner.typical_LH) == (2, 4)
        and 0 < np.min(runner.typical_LH) < np.max(runner.typical_LH) < 1
    )
    same = [
        DecodingConfig(contrast="noise", strength=0.0),
        DecodingConfig(contrast="noise", strength=1.0, noise=0),
        DecodingConfig(contrast="no_image", strength=0.0),
        DecodingConfig(keep=1.0, alpha=0.0, rescale=True, ranking="random"),
        DecodingConfig(keep=0.5, alpha=0.0, protect=1.1),
    ]
    strong = DecodingConfig(keep=0.25, alpha=0.0)
    short = DecodingConfig(keep=0.25, alpha=0.0, describe_only=True)
    different = [strong, short, DecodingConfig(contrast="no_image", strength=3.0, plausible=1e-3)]
    answers = runner.answers(split, [GREEDY, *same, *different])
    for config in same:
        assert answers[config] == answers[GREEDY], config
    for config in different:
        assert answers[config] != answers[GREEDY], config
    describes = [triple["type"] == "describe" for triple in split.triples]
    for index, describe in enumerate(describes):
        assert answers[short][index] == answers[strong if describe else GREEDY][index]
    suppression = np.array(runner.suppression(split, DecodingConfig(keep=0.5, alpha=0.0)))
    np.testing.assert_allclose(suppression.sum(1), 2.0, atol=1e-3)  # two of four heads at every token


def test_of_candidates_the_one_most_like_the_picture_is_said(checkout, runner):
    runner, session = runner
    split = split_contents.read(checkout / "data" / "raw", checkout / "data" / "vqa", "test", 0)
    plain = DecodingConfig(contrast="noise", strength=0.5, noise=300, plausible=1e-3)
    drawn = replace(plain, temperature=2.0, nucleus=1.0)
    configs = [replace(drawn, candidates=count) for count in (1, 2, 3, 4, 6)]
    chance = replace(configs[-1], choice="chance")
    answers = runner.answers(split, [plain, *configs, chance])
    assert answers[configs[0]] == answers[plain]  # the first candidate is what the way says alone
    describes = [i for i, triple in enumerate(split.triples) if triple["type"] == "describe"]
    short = sorted(set(range(len(split.triples))) - set(describes))
    pictures_IE = session.embed_images(list(split.rgb()))
    owners = [split.picture_of[i] for i in describes]
    best, changed = np.full(len(describes), -np.inf), 0
    for config in configs:  # one more candidate is taken only where it is more like the picture
        texts = [answers[config][i] for i in describes]
        alike = (session.embed_texts(texts) * pictures_IE[owners]).sum(1)
        assert (alike >= best - 1e-6).all()
        changed += int((alike > best + 1e-6).sum()) if np.isfinite(best).all() else 0
        best = alike
        assert [answers[config][i] for i in short] == [answers[plain][i] for i in short]
    assert changed > 0 and answers[chance] != answers[configs[-1]]
    # A picture's candidates do not depend on which other pictures are asked about.
    for piece, indices in halves(split):
        again = runner.answers(piece, [chance, configs[-1]])
        assert again[chance] == [answers[chance][i] for i in indices]
        assert again[configs[-1]] == [answers[configs[-1]][i] for i in indices]


def test_a_beam_search_is_the_products_and_leaves_short_answers_alone(checkout, runner):
    runner, session = runner
    split = split_contents.read(checkout / "data" / "raw", checkout / "data" / "vqa", "test", 0)
    wide = DecodingConfig(beams=3)
    answers = runner.answers(split, [GREEDY, wide])
    describes = [i for i, triple in enumerate(split.triples) if triple["type"] == "describe"]
    pictures = list(split.rgb())
    said = session.answer(
        [pictures[split.picture_of[i]] for i in describes], [split.triples[i]["question"] for i in describes],
        bundle_settings.greedy_generation(8).replaced(method="beam", beams=3), batch_size=16,
    )  # fmt: skip
    assert [answers[wide][i] for i in describes] == [answer.text for answer in said]
    assert [answers[wide][i] for i in describes] != [answers[GREEDY][i] for i in describes]
    short = sorted(set(range(len(split.triples))) - set(describes))
    assert [answers[wide][i] for i in short] == [answers[GREEDY][i] for i in short]


def halves(split: Split) -> list[tuple[Split, list[int]]]:
    """The first two pictures of a split, and the others."""
    pieces = []
    for first, last in ((0, 2), (2, len(split.lines))):
        indices = [i for i, picture in enumerate(split.picture_of) if first <= picture < last]
        piece = replace(
            split, lines=split.lines[first:last], triples=[split.triples[i] for i in indices],
            picture_of=[split.picture_of[i] - first for i in indices],
        )  # fmt: skip
        pieces.append((piece, indices))
    return pieces


def load(spec: parallel_runner.ModelSpec) -> decode_runner.DecodeRunner:
    """For the crew's processes: as `sightline lab hallucination` loads."""
    vlm = torch_session.load_vlm(spec.model)
    return decode_runner.DecodeRunner(
        vlm, torch_session.session(vlm, None, spec.settings), spec.decode, spec.seed
    )


def test_a_way_is_asked_of_the_models_of_its_arm_and_a_new_way_asks_for_itself_alone(
    checkout, runner, tmp_path
):
    other = tmp_path / "other"
    vlm = torch_session.load_vlm(checkout / "models" / "vlm")
    with torch.no_grad():
        vlm.output_bias.add_(torch.randn(len(vlm.output_bias), generator=torch.manual_seed(1)))
    with artifacts.create(other, "vlm", vlm.config, "# tiny\n") as folder:
        artifacts.save_weights(folder / "weights.safetensors", vlm.state_dict())
        shutil.copyfile(checkout / "models" / "vlm" / "tokenizer.json", folder / "tokenizer.json")
    spec = parallel_runner.ModelSpec(
        checkout / "models" / "vlm", checkout / "models" / "onnx", decode_runner.DecodeSettings(8, 16), 7
    )
    models = {"default": [spec], "other": [replace(spec, model=other)]}
    words: list[str] = []
    parallel = parallel_runner.ParallelRunner(models, load, tmp_path / "kept", 1, words.append)
    split = split_contents.read(checkout / "data" / "raw", checkout / "data" / "vqa", "test", 0)
    typical = parallel.measure_typical(split)
    assert set(typical) == {"default", "other"}
    plain, suppressed = DecodingConfig(arm="other"), DecodingConfig(arm="other", keep=0.5, alpha=0.0)
    (answers,) = parallel.answers(split, [GREEDY, plain])
    alone = load(models["other"][0])
    expected = alone.answers(split, [GREEDY])
    assert answers[GREEDY] == runner[0].answers(split, [GREEDY])[GREEDY] != expected[GREEDY] == answers[plain]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    (more,) = parallel.answers(split, [plain, suppressed])
    assert more[plain] == answers[plain] != more[suppressed]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((tmp_path / "kept").iterdir())) == len(kept) + len(list(parallel_runner.pieces_of(split)))


def test_other_trainings_are_not_asked_of_given_models(checkout):
    (checkout / "trained.yaml").write_text("a: {why: w, with: {arm: one-phase}}", encoding="utf-8")
    done = sightline(checkout, "--ideas", "trained.yaml", "--model", "models/vlm")
    assert done.returncode == 2 and "trained.yaml: trains one-phase" in done.stderr
    done = sightline(checkout, "--ideas", "trainings.yaml")
    assert done.returncode == 2 and "trainings.yaml: no such file of ideas" in done.stderr


def sightline(checkout: Path, *arguments: str) -> subprocess.CompletedProcess:
    return command_line.run(checkout, "lab", "hallucination", *arguments)


NAMES = (page.RESULT, page.FIGURES, page.PAGE, page.PICTURE)


def test_the_command_writes_result_figures_page_and_picture(checkout):
    for folder in ("metrics", "docs/reports"):
        (checkout / folder).mkdir(parents=True)
    done = sightline(checkout, "--items", "4")
    assert done.returncode == 0, done.stderr
    result = json.loads((checkout / page.RESULT).read_text(encoding="utf-8"))
    assert result["images"] == {"test": 4, "shift_test": 4, "uniform_test": 4}
    assert result["search"]["images"] == {"val": 6, "shift_val": 6} and result["models"] == 1
    ideas = {"greedy", "spin", "layered", "vcd", "guided", "pai"}
    assert set(result["ways"]) == ideas | {"spin random", "spin inverse", "guided chance"}
    assert len(result["ideas"]["spin"]["primaries"]) == len(comparison.PRIMARIES)
    assert result["ways"]["vcd"]["macs_per_token"] == 2 * result["ways"]["greedy"]["macs_per_token"]
    guided, chance = (result["ways"][name] for name in ("guided", "guided chance"))
    count, macs = guided["settings"]["candidates"], result["macs"]["default"]
    spent = 2 * (macs["image"] + macs["memory"]) + macs["embed_image"] + count * macs["embed_text"]
    spent += count * 2 * macs["token"] * (described_words(checkout, "guided") + 1)
    assert guided["macs_per_description"] == pytest.approx(spent, abs=1)
    assert chance["macs_per_token"] == guided["macs_per_token"] == 2 * macs["token"]
    lines = (checkout / page.FIGURES).read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(hallucination_study.COLUMNS)
    for figure in ("pope,adversarial,mcc", "pope,random,invalid", "caption,describe,cider_d", "vqa,count"):
        assert any(line.startswith(f"shift_test,vcd,{figure}") for line in lines), figure
    assert not any(line.startswith("uniform_test,spin random") for line in lines)
    text = (checkout / page.PAGE).read_text(encoding="utf-8")
    assert "`sightline lab hallucination --items 4 --search-items 0 --seeds 1`" in text
    assert "One trained model (seed 7) of" in text and "`val` (all)" in text and "(the first ones)" in text
    for name in ("| spin |", "| vcd |", "**alpha", "POPE, adversarial", "usual"):
        assert name in text
    assert (checkout / page.PICTURE).read_text(encoding="utf-8").startswith("<?xml")


def described_words(checkout: Path, config: str) -> float:
    """Mean words of a description on `test`, of the tidy figures."""
    with (checkout / page.FIGURES).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["way"] == config and row["metric"] == "words"]
    return next(float(row["value"]) for row in rows if row["split"] == "test")


def test_an_interrupted_command_goes_on_and_ends_with_the_same_bytes(checkout):
    """A part that is gone is asked again, by one process; what is kept is taken as it is."""
    written = [(checkout / name).read_bytes() for name in NAMES]
    kept = sorted((checkout / ".study" / "hallucination").iterdir())
    kept[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in kept[1:]}
    done = sightline(checkout, "--items", "4", "--jobs", "1")
    assert done.returncode == 0 and "parts are kept from before" in done.stdout
    assert sorted((checkout / ".study" / "hallucination").iterdir()) == kept
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert [(checkout / name).read_bytes() for name in NAMES] == written


def test_several_models_are_pooled_and_each_is_shown(checkout):
    """Twice the same model: its figures, and every difference as often as there are models."""
    one = json.loads((checkout / page.RESULT).read_text(encoding="utf-8"))
    done = sightline(checkout, "--items", "4", "--model", "models/vlm", "--model", "models/vlm")
    assert done.returncode == 0, done.stderr
    two = json.loads((checkout / page.RESULT).read_text(encoding="utf-8"))
    assert two["models"] == 2
    for name, idea in one["ideas"].items():
        for before, after in zip(idea["primaries"], two["ideas"][name]["primaries"], strict=True):
            assert after["by_model"] == 2 * before["by_model"] == 2 * [before["value"]]
            assert {**after, "by_model": 0} == {**before, "by_model": 0}
    text = (checkout / page.PAGE).read_text(encoding="utf-8")
    assert "## Model by model" in text and "2 trained models (folder models/vlm, models/vlm) of" in text
    assert "--seeds 1 --model models/vlm --model models/vlm`" in text


def test_candidates_need_a_dual_encoder_beside_the_model(checkout, tmp_path):
    shutil.copytree(checkout / "models" / "vlm", tmp_path / "vlm")
    done = sightline(checkout, "--model", str(tmp_path / "vlm"))
    assert done.returncode == 2 and f"{tmp_path / 'clip'}: no dual encoder beside" in done.stderr


def test_a_wrong_idea_ends_the_command_before_anything_is_asked(checkout):
    (checkout / "lab/hallucination_decoding.yaml").write_text(
        "a: {why: x, search: {kep: [1]}}", encoding="utf-8"
    )
    done = sightline(checkout)
    assert done.returncode == 2 and "a: no field kep" in done.stderr and "Traceback" not in done.stderr
