"""The whole evaluation with a scripted predictor: what must come out is known for every figure."""

import csv
import hashlib
import json

import numpy as np
import pytest

from sightline.core.params.generation import Spin
from sightline.evaluate import (
    chart_tables,
    collect_predictions,
    evaluation,
    metrics_report,
    metrics_summary,
    ood_detection,
    predictions,
    quality_gate,
    result_files,
    split_contents,
)
from sightline.inference.bundle_settings import greedy_generation
from tests.evaluate.test_quality_gate import LIMITS
from tests.support import scripted

SPIN = Spin(keep=0.5, alpha=0.5, layers=(0, 1))
GREEDY = greedy_generation(16)


def setting(raw, vqa, **changed):
    return collect_predictions.Setting(raw, vqa, scripted.evaluate_params(**changed), GREEDY, SPIN, 7)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    evaluation_setting = setting(*scripted.build(folder))
    spins = {"fp32": ["off"], "shipped": collect_predictions.SPINS}
    outputs = {
        name: collect_predictions.predict(scripted.Scripted, evaluation_setting, spins[name])
        for name in spins
    }
    rows = evaluation.evaluate(
        outputs, scripted.Scripted(lying=True), evaluation_setting, folder / "metrics", folder / "plots"
    )
    scripted.write_domain(ood_detection.picture_rows(reds, 4.0, evaluation_setting), folder / "metrics")
    return folder, rows


def reds(pictures):
    """The out-of-domain score of a picture: its red value (0 to 5 in the dataset)."""
    return np.array([float(rgb[0, 0, 0]) for rgb in pictures])


def value(rows, variant, spin, kind, metric, column="value"):
    matches = [
        row
        for row in rows
        if (row["variant"], row["spin"], row["type"], row["metric"]) == (variant, spin, kind, metric)
    ]
    assert len(matches) == 1, matches
    return matches[0][column]


def test_figures_by_hand(evaluated):
    _, rows = evaluated
    assert value(rows, "fp32", "off", "all", "accuracy") == 100
    assert value(rows, "fp32", "off", "all", "accuracy", "n") == 18
    assert value(rows, "shipped", "on", "color", "accuracy") == 50
    # pictures 0 and 3 show a ball, which is denied: 2 of 12 existence questions
    assert value(rows, "shipped", "on", "existence", "accuracy") == pytest.approx(100 * 10 / 12, abs=1e-3)
    assert value(rows, "shipped", "on", "adversarial", "recall") == pytest.approx(100 * 4 / 6, abs=1e-3)
    assert value(rows, "shipped", "off", "random", "mcc") == 100
    assert value(rows, "shipped", "off", "scene truth", "chair_i") == 0
    assert value(rows, "shipped", "on", "scene truth", "chair_i") == 50
    assert value(rows, "shipped", "on", "scene truth", "chair_s") == 100
    assert value(rows, "shipped", "on", "scene truth", "recall") == 100


def test_confidences(evaluated):
    folder, rows = evaluated
    # SPIN off: all 12 yes/no answers are right, at a confidence of 75 % and 50 % before; 6 colours at 60 %.
    assert value(rows, "shipped", "off", "yes/no", "ece") == 25
    assert value(rows, "shipped", "off", "yes/no, before", "ece") == 50
    assert value(rows, "shipped", "off", "yes/no", "brier") == 6.25
    assert value(rows, "shipped", "off", "short answers", "ece") == 30  # (12 * 25 + 6 * 40) / 18
    assert value(rows, "shipped", "off", "short answers", "aurc") == 0
    assert value(rows, "shipped", "off", "sure", "coverage") == pytest.approx(100 * 12 / 18, abs=1e-3)
    assert value(rows, "shipped", "off", "sure answers", "accuracy", "n") == 12
    # SPIN on: 2 of 12 sure answers are wrong, 3 of 6 colours.
    assert value(rows, "shipped", "on", "sure answers", "accuracy") == pytest.approx(100 * 10 / 12, abs=1e-3)
    risk = (12 * 2 / 12 + 6 * 5 / 18) / 18
    assert value(rows, "shipped", "on", "short answers", "aurc") == pytest.approx(100 * risk, abs=1e-3)
    at_80 = value(rows, "shipped", "on", "short answers", "accuracy_at_80")
    assert at_80 == pytest.approx(100 * 13 / 18, abs=1e-3)
    assert (folder / "plots/reliability.csv").read_text() == "confidence,accuracy,n\n75.0,100.0,12\n"
    assert result_files.read_csv(folder / "plots/abstention.csv")[0] == {
        "coverage": "66.667",
        "accuracy": "100.0",
    }


def test_baselines_and_ceiling(evaluated):
    _, rows = evaluated
    assert value(rows, "blind", "", "random", "invalid") == 100
    assert value(rows, "blind", "", "scene truth", "chair_i") == 100
    assert value(rows, "majority", "", "existence", "accuracy") == 50
    assert value(rows, "ceiling", "", "all", "accuracy") == 100
    assert value(rows, "ceiling", "", "scene truth", "recall") == 100
    assert value(rows, "ceiling", "", "all", "accuracy", "low") == ""
    assert value(rows, "chance", "", "text_to_image", "r1") == pytest.approx(100 / 6, abs=1e-3)
    for direction in ("image_to_text", "text_to_image"):
        for by in ("", "_reranked", "_described"):
            assert value(rows, "ceiling", "", direction + by, "r1") == 100


def test_retrieval_and_swapped_kinds(evaluated):
    _, rows = evaluated
    for direction in ("image_to_text", "text_to_image"):
        assert value(rows, "shipped", "", direction, "r1") == 100
    assert value(rows, "shipped", "", "text_to_image_reranked", "r1") == 100
    assert value(rows, "shipped", "", "image_to_text_reranked", "r1") == 100
    for by in ("", "_described"):
        assert value(rows, "shipped", "", f"swapped_kind{by}", "accuracy") == 100
        assert value(rows, "chance", "", f"swapped_kind{by}", "accuracy") == 50


def test_files(evaluated):
    folder, _ = evaluated
    header = ["split", "variant", "spin", "type", "metric", "value", "low", "high", "n", "pictures"]
    families = ("vqa", "pope", "chair", "caption", "retrieval", "calibration", "abstention", "domain")
    for family in families:
        text = (folder / f"metrics/{family}.csv").read_bytes()
        assert b"\r" not in text
        assert next(csv.reader(text.decode().splitlines())) == header
    paired = result_files.read_csv(folder / "metrics/paired.csv")
    assert {row["comparison"] for row in paired} == {"spin_on - spin_off", "shipped - fp32"}
    color = next(r for r in paired if r["variant"] == "shipped" and r["type"] == "color")
    assert (color["value"], color["not_worse"]) == ("-50.0", "false")
    assert {row["not_worse"] for row in paired if row["metric"] == "yes_rate"} == {""}
    lines = (folder / "metrics/predictions-test-shipped-spin_on.jsonl").read_text().splitlines()
    assert json.loads(lines[2]) == {
        "answer": "blue",
        "confidence": 0.6,
        "image": "test-0",
        "item": 6,
        "prediction": "blue",
        "question": "What color is the ball?",
        "type": "color",
    }
    confusion = result_files.read_csv(folder / "plots/confusion.csv")
    assert len(confusion) == 18 and all(row["actual"] == row["predicted"] for row in confusion)


def test_same_bytes_again_and_from_worker_processes(evaluated, tmp_path):
    folder, _ = evaluated
    evaluation_setting = setting(folder / "raw", folder / "vqa")
    outputs = collect_predictions.predict_variants(
        {name: scripted.Scripted for name in ("fp32", "shipped")},
        {"fp32": ["off"], "shipped": collect_predictions.SPINS},
        evaluation_setting,
    )
    evaluation.evaluate(
        outputs, scripted.Scripted(lying=True), evaluation_setting, tmp_path / "metrics", tmp_path / "plots"
    )
    scripted.write_domain(ood_detection.picture_rows(reds, 4.0, evaluation_setting), tmp_path / "metrics")
    first, again = (
        {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for part in ("metrics", "plots")
            for path in (root / part).iterdir()
        }
        for root in (folder, tmp_path)
    )
    assert first == again


def test_photos_are_measured_by_what_their_captions_name(tmp_path):
    raw, vqa = scripted.build(tmp_path, scenes=False)
    evaluation_setting = setting(raw, vqa, max_items=4)
    rows = evaluation.evaluate(
        {
            "fp32": collect_predictions.predict(
                scripted.Scripted, evaluation_setting, collect_predictions.SPINS
            )
        },
        None,
        evaluation_setting,
        tmp_path / "m",
        tmp_path / "p",
    )
    assert value(rows, "fp32", "on", "caption-CHAIR", "chair_i") == 50
    assert {row["type"] for row in rows if row["family"] == "chair"} == {"caption-CHAIR"}
    # "picture 0: a ball" is the first of its two captions; the oracle gives one too and has no such figure.
    assert value(rows, "fp32", "off", "describe", "bleu_1") == 100
    # SPIN on adds "and a star": 4 of 7 words are a reference's
    assert value(rows, "fp32", "on", "describe", "bleu_1") == pytest.approx(100 * 4 / 7, abs=1e-3)
    assert not [row for row in rows if (row["family"], row["variant"]) == ("caption", "ceiling")]
    assert value(rows, "fp32", "", "image_to_text", "r1", "n") == 4
    assert not [row for row in rows if row["type"].startswith("swapped_kind")]


def test_a_blind_predictor_answers_each_distinct_question_once(tmp_path):
    split = split_contents.read(*scripted.build(tmp_path), "test", 0)
    blind = scripted.Scripted(lying=True)
    texts = predictions.blind_answers(blind, split, GREEDY, 4)
    assert (len(texts), blind.calls) == (len(split.triples), 2)


def test_an_unknown_split_is_refused_with_the_cure(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        split_contents.read(*scripted.build(tmp_path), "nowhere", 0)


def test_markup_in_captions_is_data(tmp_path):
    raw, vqa = scripted.build(tmp_path, extra=' <script>alert(1)</script>, "quoted"')
    evaluation_setting = setting(raw, vqa)
    outputs = {
        "fp32": collect_predictions.predict(scripted.Scripted, evaluation_setting, collect_predictions.SPINS)
    }
    evaluation.evaluate(outputs, None, evaluation_setting, tmp_path / "m", tmp_path / "p")
    rows = [json.loads(line) for line in (tmp_path / "m/predictions-test-fp32-spin_off.jsonl").open()]
    assert any("<script>" in row["answer"] for row in rows)


EXPORTED = [
    {"variant": "fp32", "bytes": "400", "macs": "20", "accuracy": "90.0", "ships": "0"},
    {"variant": "int8", "bytes": "100", "macs": "15", "accuracy": "89.5", "ships": "1"},
]
PARITY = {"max_logit_difference": 2e-6, "items": 48}
ATTACKS = {
    "false_premise": {
        "value": 54.0, "low": 46.5, "high": 61.0, "n": 200, "pictures": 200, "controls": {"true premise": 1.0}
    },
    "occlusion": {"not_tested": "no scene graphs"},
}  # fmt: skip
LEFT_OUT = ["val has 5 short questions."]
MAPS = {
    "method": "cross_attention", "n": 20, "rank_correlation": 0.97, "pointed": 18, "pointing_fp32": 0.9444,
    "pointing_shipped": 0.8889,
}  # fmt: skip


@pytest.fixture(scope="module")
def summarised(evaluated):
    folder, _ = evaluated
    figures, paired = (
        metrics_report.read(folder / "metrics"),
        result_files.read_csv(folder / "metrics/paired.csv"),
    )
    return figures, paired, metrics_summary.build(figures, paired, EXPORTED, PARITY, MAPS, ATTACKS, LEFT_OUT)


def test_a_bundle_that_answers_with_spin_is_reported_with_spin(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    gated = collect_predictions.Setting(
        raw, vqa, scripted.evaluate_params(), GREEDY.replaced(spin=True), SPIN, 7
    )
    spins = {"fp32": [gated.served], "shipped": collect_predictions.SPINS}
    outputs = {name: collect_predictions.predict(scripted.Scripted, gated, spins[name]) for name in spins}
    evaluation.evaluate(outputs, None, gated, tmp_path / "m", tmp_path / "p")
    scripted.write_domain(ood_detection.picture_rows(reds, 4.0, gated), tmp_path / "m")
    figures = metrics_report.read(tmp_path / "m")
    paired = result_files.read_csv(tmp_path / "m" / "paired.csv")
    built = metrics_summary.build(figures, paired, EXPORTED, PARITY, MAPS, ATTACKS, LEFT_OUT)
    chair = {row["spin"]: float(row["value"]) for row in figures["chair"] if row["metric"] == "chair_i"
             and (row["split"], row["variant"]) == ("test", "shipped")}  # fmt: skip
    assert (gated.served, built["spin"]) == ("on", "on")
    assert (
        chair["on"] != chair["off"] and built["quality"]["shipped"]["test"]["chair_i"]["value"] == chair["on"]
    )


def test_summary(summarised):
    built = summarised[2]
    assert (built["shipped_variant"], built["spin"]) == ("int8", "off")
    assert built["cost"] == {"fp32": {"bytes": 400, "macs": 20}, "shipped": {"bytes": 100, "macs": 15}}
    assert built["quality"]["shipped"]["test"]["vqa_accuracy"] == {
        "value": 100.0, "low": 50.0, "high": 100.0, "pictures": 6,
    }  # fmt: skip
    assert built["spin_on_minus_off"]["test"]["chair_i"]["value"] == 50
    assert built["shipped_minus_fp32"]["test"]["vqa_accuracy"]["value"] == 0
    bounds = built["loss_bounds"]
    assert set(bounds) == {"vqa_accuracy", "pope_f1", "chair_i", "text_to_image_r1", "image_to_text_r1"}
    # 18 short and 24 POPE questions about 6 pictures that both variants answer alike: the rule of three
    told = {"value": 0, "least_loss": -50, "loss_bound": 50, "pictures": 6}
    assert bounds["vqa_accuracy"] == told | {"n": 18} and bounds["pope_f1"] == told | {"n": 24}
    assert (bounds["chair_i"]["n"], bounds["text_to_image_r1"]["n"]) == (6, 6)
    edges = built["edges"]["test"]
    assert (edges["yes_no_ece_before"]["value"], edges["yes_no_ece"]["value"]) == (50, 25)
    assert edges["sure_accuracy"]["value"] == edges["accuracy_at_95"]["value"] == 100
    assert 0 < edges["domain_auroc"]["low"] <= edges["domain_auroc"]["value"]
    assert json.dumps(built, allow_nan=False)


def test_the_headline_is_a_few_figures_of_the_shipped_variant(summarised):
    headline = metrics_summary.headline(summarised[2])
    assert headline["vqa_accuracy"] == 100.0 and headline["megabytes"] == 0.0
    assert len(headline) <= 10 and all(isinstance(value, float) for value in headline.values())


def test_report(summarised):
    figures, paired, built = summarised
    checks = quality_gate.checks(built, LIMITS, "test")
    text = metrics_report.markdown(figures, paired, built, EXPORTED, EXPORTED, checks)
    assert "- val has 5 short questions." in text and "- passed: fp32 parity" in text
    assert "is 50, must be at most 1.5: n = 6, at least 6667 needed" in text
    assert "| all | accuracy | 18 |" in text
    assert "| int8 | 100 | 15 | 89.5 | 1 |" in text
    assert "rank correlation 0.970" in text and "94.4 % (fp32) and 88.9 % (shipped) of the 18 right" in text
    photos = built | {"maps": MAPS | {"pointed": 0, "pointing_fp32": None, "pointing_shipped": None}}
    assert "true box" not in metrics_report.markdown(figures, paired, photos, EXPORTED, EXPORTED, [])
    assert "| false premise | 200 | 54.0 [46.5, 61.0] | true premise 1.0 |" in text
    assert "| occlusion | 0 | not tested: no scene graphs |" in text
    assert "chance" in text and "ceiling" in text and "blind" in text
    assert max(line.count("|") for line in text.splitlines()) < 16


def test_charts(summarised, tmp_path):
    """Every bar of `dvc plots diff` finds its figure among those that the evaluation writes."""
    chart_tables.write(summarised[0], "off", tmp_path)
    for name, wanted in chart_tables.CHARTS.items():
        rows = result_files.read_csv(tmp_path / f"{name}.csv")
        labels = [row["figure"] for row in rows]
        assert len(set(labels)) == len(labels) <= chart_tables.MOST
        assert {label for label, *_ in wanted} <= set(labels)
        assert all(
            float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in rows if row["low"]
        )


class Mistaken(scripted.Scripted):
    """Its dual encoder takes every picture for its neighbour; its fusion head knows better."""

    def encode_texts(self, texts, batch_size=1):
        states, mask, embeds = super().encode_texts(texts, batch_size)
        return states, mask, 0.6 * np.roll(embeds, 1, axis=1) + 0.5 * embeds


def retrieve(session, split, lexicon, **changed):
    params, rng = scripted.evaluate_params(**changed), np.random.default_rng(0)
    swaps = predictions.SwapInputs(lexicon, list(scripted.KINDS), rng)
    return predictions.retrieve(session, split, swaps, params, ())


def test_reranking_corrects_the_dual_encoder(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    split = split_contents.read(raw, vqa, "test", 0)
    results = retrieve(Mistaken(), split, split_contents.lexicon(vqa))
    last = len(split.lines) - 1  # its neighbour is not in the gallery
    for direction in ("image_to_text", "text_to_image"):
        assert (results.ranks[direction] == 2).sum() == last
        assert (results.ranks[f"{direction}_reranked"] == 1).all()
        assert (results.ranks[f"{direction}_described"] == 1).all()


class Misled(Mistaken):
    """Its fusion head takes every picture for its neighbour too; only its descriptions tell them apart."""

    def match(self, tokens, states, mask, batch_size=1):
        return (np.roll(tokens[:, 0], 1, axis=1) * states[:, 0]).sum(axis=1)


def test_descriptions_correct_the_dual_encoder_whatever_the_fusion_head_says(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    split = split_contents.read(raw, vqa, "test", 0)

    wrong = retrieve(Misled(), split, split_contents.lexicon(vqa)).ranks
    for direction in ("image_to_text", "text_to_image"):
        assert (wrong[f"{direction}_reranked"] > 1).sum() >= len(split.lines) - 1
        assert (wrong[f"{direction}_described"] == 1).all()
    # Without their weight the order is that of the embeddings, as it is where they read the first alone.
    for changed in ({"description_weight": 0.0}, {"rerank_top": 1}):
        alone = retrieve(Misled(), split, split_contents.lexicon(vqa), **changed).ranks
        for direction, ranks_Q in alone.items():
            if direction.endswith("_described"):
                np.testing.assert_array_equal(ranks_Q, wrong[direction.removesuffix("_described")])


def test_the_prior_of_a_text_is_its_mean_over_the_training_pictures_most_like_it():
    """Texts 0 and 1 point east and north; four pictures lie at known angles, each scored by its number."""
    angles = np.radians([0.0, 80.0, 10.0, 95.0])
    pictures = [np.full((4, 4, 3), number, np.uint8) for number in range(4)]

    class Compass:
        def embed_images(self, images, batch_size=1):
            chosen = angles[[int(rgb[0, 0, 0]) for rgb in images]]
            return np.stack([np.cos(chosen), np.sin(chosen)], 1).astype(np.float32)

        def score_captions(self, images, texts, image_N, text_N, batch_size=1):
            numbers = np.array([int(rgb[0, 0, 0]) for rgb in images])
            return -1.0 * numbers[image_N] - 10.0 * text_N

    for count, expected in ((2, [-1.0, -12.0]), (1, [0.0, -13.0]), (9, [-1.5, -11.5])):
        params = scripted.evaluate_params(prior_pictures=count)
        embeds_NE = np.eye(2, dtype=np.float32)
        prior_N = predictions._prior(Compass(), pictures, ["east", "north"], embeds_NE, params)
        np.testing.assert_allclose(prior_N, expected)


def test_a_text_that_is_likely_of_every_picture_loses_by_its_prior(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    split = split_contents.read(raw, vqa, "test", 0)

    class Flattered(Misled):
        """Finds the first picture's caption far too likely of any picture but one of nothing."""

        def score_captions(self, images, texts, image_N, text_N, batch_size=1):
            scores = super().score_captions(images, texts, image_N, text_N, batch_size)
            seen = np.array([len(np.unique(rgb)) > 1 for rgb in images])[image_N]
            return scores + 1000.0 * (np.asarray(text_N) == texts.index(split.captions[0][0])) * seen

    ranks = []
    for train in ((), split_contents.Pictures(raw, "test", 0)):
        params = scripted.evaluate_params(nothing_share=1.0, prior_pictures=2)
        swaps = predictions.SwapInputs(
            split_contents.lexicon(vqa), list(scripted.KINDS), np.random.default_rng(0)
        )
        ranks.append(predictions.retrieve(Flattered(), split, swaps, params, train).ranks)
    flattered, corrected = (each["image_to_text_described"] for each in ranks)
    assert (corrected == 1).sum() > (flattered == 1).sum()


def test_no_pair_is_scored_twice(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    split = split_contents.read(raw, vqa, "test", 0)

    class Counting(scripted.Scripted):
        scored: list = []

        def score_captions(self, images, texts, image_N, text_N, batch_size=1):
            self.scored += [(len(images), int(i), int(t)) for i, t in zip(image_N, text_N, strict=True)]
            return super().score_captions(images, texts, image_N, text_N, batch_size)

    predictor = Counting()
    results = retrieve(predictor, split, split_contents.lexicon(vqa))
    assert len(predictor.scored) == len(set(predictor.scored))
    # Every picture's own caption was read against it, for three figures.
    assert sum(count > 1 for count, _, _ in predictor.scored) >= len(split.lines)
    assert results.swapped_object["swapped_kind_described"]


def test_a_pretrained_dual_encoder_before_tuning_is_a_row(tmp_path):
    raw, vqa = scripted.build(tmp_path)
    plain = setting(raw, vqa)
    spins = {"fp32": ["off"], "shipped": collect_predictions.SPINS}
    outputs = {name: collect_predictions.predict(scripted.Scripted, plain, spins[name]) for name in spins}
    outputs[evaluation.UNTUNED] = {
        name: collect_predictions.VariantPredictions({}, found.retrieval)
        for name, found in outputs["shipped"].items()
    }
    rows = evaluation.evaluate(outputs, None, plain, tmp_path / "m", tmp_path / "p")
    scripted.write_domain(ood_detection.picture_rows(reds, 4.0, plain), tmp_path / "m")
    before = [row for row in rows if row["variant"] == "before tuning"]
    assert {row["family"] for row in before} == {"retrieval"}
    assert {row["type"] for row in before} >= {"text_to_image", "image_to_text"}
    assert not [row for row in before if "reranked" in row["type"]]
    figures, paired = (
        metrics_report.read(tmp_path / "m"),
        result_files.read_csv(tmp_path / "m" / "paired.csv"),
    )
    gained = [row for row in paired if row["comparison"] == "shipped - before tuning"]
    assert gained and {float(row["value"]) for row in gained} == {0.0}
    built = metrics_summary.build(figures, paired, EXPORTED, PARITY, MAPS, ATTACKS, LEFT_OUT)
    assert (
        built["before_tuning"]["test"]["text_to_image_r1"]
        == (built["quality"]["shipped"]["test"]["text_to_image_r1"])
    )
    checks = quality_gate.checks(built, LIMITS, "test")
    text = metrics_report.markdown(figures, paired, built, EXPORTED, EXPORTED, checks)
    assert (
        "## Shipped minus the pretrained dual encoder before tuning" in text and "| before tuning |" in text
    )


def test_without_one_nothing_is_said_of_tuning(summarised):
    figures, paired, built = summarised
    text = metrics_report.markdown(figures, paired, built, EXPORTED, EXPORTED, [])
    assert "before tuning" not in text.lower() and "before_tuning" not in built
