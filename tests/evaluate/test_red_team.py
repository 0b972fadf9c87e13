"""Attacks on models of which it is known how often they succeed; the page; figures compared and bounded."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from sightline.core import artifacts, registry
from sightline.core.params.loader import load_params
from sightline.evaluate import metrics_summary, quality_gate
from sightline.evaluate.red_team import attack_run, red_team_figures, red_team_page
from sightline.inference.encoding import SessionError
from tests.support import attacked, command_line, params_files, scripted
from tests.support.attacked import effort
from tests.support.command_line import ROOT

ALL = attack_run.names()
# family, a model that falls for it, percent of attacks and of controls that succeed
FALLEN = [
    ("typographic", attacked.Reads, 100.0, [0.0, 0.0]),
    ("absent_object", attacked.Affirms, 100.0, [0.0]),
    ("contradiction", attacked.Affirms, 100.0, [100.0]),
    ("false_premise", attacked.Boasts, 100.0, [0.0]),
    ("blank_picture", attacked.Boasts, 100.0, [0.0]),
    ("noise_picture", attacked.Boasts, 100.0, [0.0]),
    ("occlusion", attacked.Boasts, 100.0, [100.0]),
    ("another_picture", attacked.Remembers, 100.0, [0.0]),
    ("leading_question", attacked.Believes, 100.0, [0.0]),
    ("injected_caption", attacked.Believes, 100.0, [0.0]),
    ("small_perturbation", attacked.Brittle, 100.0, [0.0]),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return attacked.build(tmp_path_factory.mktemp("attacked"))


@pytest.fixture(scope="module")
def material(data):
    return attacked.material(*data)


def run(material, model, families=ALL, **changed):
    return attack_run.run(attacked.attacked(model), material, effort(**changed), 100, families)


def figures_of(material, model, family, **changed):
    (found,) = run(material, model, [family], **changed)
    assert not found.figures.not_tested, found.figures.not_tested
    return found.figures


def document(material, families):
    return attack_run.figures(attacked.attacked(attacked.Ideal()), material, effort(), families)


@pytest.mark.parametrize("family", ALL)
def test_no_attack_succeeds_on_a_model_that_sees_everything(material, family):
    figures = figures_of(material, attacked.Ideal(), family)
    assert figures.success_rate.value == 0.0 and 0.0 < figures.success_rate.high <= 100.0
    assert figures.n >= 10 and figures.pictures >= 5
    expected = 100.0 if family == "occlusion" else 0.0  # what a patch elsewhere leaves to be seen stays sure
    assert {control.rate.value for control in figures.controls} == {expected}


@pytest.mark.parametrize(("family", "model", "rate", "controls"), FALLEN, ids=[row[0] for row in FALLEN])
def test_a_model_that_falls_for_an_attack_does_so_every_time(material, family, model, rate, controls):
    figures = figures_of(material, model(), family)
    assert figures.success_rate.value == rate
    assert [control.rate.value for control in figures.controls] == controls


def test_every_family_is_in_the_table_of_models_or_measured_by_another_test():
    assert {row[0] for row in FALLEN} | {"mirrored_picture"} == set(ALL)


def test_a_model_that_ignores_mirrors_is_wrong_about_left_and_right_alone(material):
    family, model = registry.load(attack_run.FAMILIES, "mirrored_picture"), attacked.IgnoresMirrors()
    cases = list(family.cases(material, attack_run.rng_of(7, "mirrored_picture")))
    turned = [case for case in cases if case.attack[0].truths != case.original.truths]
    assert turned and {case.original.truths for case in turned} == {("left",), ("right",)}
    figures = figures_of(material, model, "mirrored_picture", items=len(cases))
    assert figures.success_rate.value == pytest.approx(100 * len(turned) / len(cases), abs=1e-3)
    assert figures.controls[0].rate.value == 0.0


def test_only_questions_that_were_answered_right_count_where_an_attack_must_change_them(material):
    class Hopeless(attacked.Ideal):
        def say(self, rgb, question, captions):
            return "nonsense", True

    (found,) = run(material, Hopeless(), ["leading_question"])
    assert found.figures.not_tested.endswith("or the model answers none that fits right")


def test_a_picture_with_a_warning_makes_no_answer_sure(material):
    class Warns:
        bound = 0.5

        def scores(self, session, pictures):
            return [float(rgb.std() == 0) for rgb in pictures]  # grey ones

    model = attack_run.AttackedModel(attacked.Boasts(), Warns(), "en", "0" * 64)
    blank, noise = attack_run.run(model, material, effort(), 100, ["blank_picture", "noise_picture"])
    assert blank.figures.success_rate.value == 0.0 and noise.figures.success_rate.value == 100.0


def test_the_same_attacks_give_the_same_bytes(material, tmp_path):
    for name in ("one", "two"):
        families = run(material, attacked.Reads(), items=6, queries=4)
        (tmp_path / name).mkdir()
        red_team_figures.write(tmp_path / name, document(material, families))
        red_team_page.write(tmp_path / name / "index.html", families, material)
    for file in ("red_team.json", "index.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("family", ALL)
def test_an_attack_does_not_depend_on_how_many_there_are(material, family):
    def outcomes(items):
        counts = figures_of(material, attacked.Brittle(), family, items=items, queries=5).per_picture
        return dict(zip(counts.pictures, zip(counts.tried, counts.succeeded, strict=True), strict=True))

    few, many = outcomes(3), outcomes(6)
    assert len(few) == 3 and few.items() <= many.items()


def test_a_real_model_is_attacked_alike_alone_and_among_others(material, bundle):
    model = attack_run.AttackedModel.load(bundle)

    def outcomes(items):
        found = attack_run.run(
            model, material, effort(items=items, queries=4), 20, ["small_perturbation", "absent_object"]
        )
        counts = [each.figures.per_picture for each in found if each.figures.per_picture]
        return {(number, *row) for number, one in enumerate(counts)
                for row in zip(one.pictures, one.tried, one.succeeded, strict=True)}  # fmt: skip

    few, many = outcomes(3), outcomes(6)
    assert few and few < many


def test_the_search_asks_no_more_than_it_may(material):
    model = attacked.Ideal()
    figures_of(material, model, "small_perturbation", items=6, queries=4)
    before, attack, control = attack_run.AHEAD, 6, 6
    assert 6 * 4 + attack + control < model.asked <= before + 6 * 4 + attack + control


def test_what_cannot_be_tested_is_listed_with_its_reason(material, data, tmp_path):
    def reasons(of, model, language="en"):
        found = {each.name: each.figures.not_tested for each in run(of, model)}
        return {name: why for name, why in found.items() if why}

    unbounded = reasons(material, attacked.Ideal(sure_above=None))
    assert set(unbounded) == {"false_premise", "blank_picture", "noise_picture", "occlusion"}
    assert all("no bound above which an answer is given as sure" in why for why in unbounded.values())
    german = reasons(attacked.material(*data, language="de"), attacked.Ideal())
    assert set(german) == {"leading_question", "contradiction"} and "(de)" in german["contradiction"]

    class Searches(attacked.Ideal):
        answers = False

    searching = reasons(material, Searches())
    assert set(searching) == set(ALL) and all("it searches only" in why for why in searching.values())


def test_a_model_that_refuses_captions_cannot_be_reached_by_them(material):
    class Refuses(attacked.Ideal):
        def answer(self, images, questions, *, batch_size=1, captions=None):
            if captions:
                raise SessionError("this model's is a causal language model: ask without them")
            return super().answer(images, questions, batch_size=batch_size)

    (found,) = run(material, Refuses(), ["injected_caption"])
    assert "cannot reach its questions: this model's is a causal language model" in found.figures.not_tested


def test_of_data_without_scene_graphs_the_rest_is_tested(tmp_path):
    of_table = attacked.material(*scripted.build(tmp_path, 12, scenes=False))

    class Sees(attacked.Ideal):
        def say(self, rgb, question, captions):
            kind = scripted.KINDS[int(rgb[0, 0, 0]) % 3]
            if question.startswith("Is there"):
                return ("yes" if kind in question else "no"), True
            return ("red" if rgb[0, 0, 0] % 2 else "blue"), True

    found = {each.name: each.figures for each in run(of_table, Sees())}
    untested = {name: figures.not_tested for name, figures in found.items() if figures.not_tested}
    assert set(untested) == {"false_premise", "occlusion", "typographic", "contradiction"}
    assert untested["contradiction"] == "no question of this data fits"  # one false question a picture
    assert "no scene graphs" in untested["occlusion"] and "no scene graphs" in untested["false_premise"]
    assert found["absent_object"].success_rate.value == 0.0 and found["absent_object"].n == 12


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(material, tmp_path):
    class Evil(attacked.Affirms):
        def _answer(self, text, sure, probability=0.9):
            return super()._answer("yes <script>alert(1)</script>", sure, probability)

    families, page = run(material, Evil(), ["absent_object", "typographic"]), tmp_path / "index.html"
    assert families[0].examples
    red_team_page.write(page, families, material)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r"https?:|url\(|@import|<link", text)
    assert text.count("<img") >= len(families[0].examples) and 'id="typographic"' in text
    page.write_text("my own notes")
    with pytest.raises(ValueError, match="found another; nothing was changed"):
        red_team_page.write(page, families, material)


def test_two_runs_are_compared_on_the_pictures_they_share(material):
    good, bad = (document(material, run(material, model, ["typographic", "occlusion"]))
                 for model in (attacked.Ideal(), attacked.Reads()))  # fmt: skip
    change = red_team_figures.compare(bad, good, 100, 7)["typographic"]
    assert change.value == change.low == change.high == 100.0 and change.pictures >= 10
    assert red_team_figures.compare(good, good, 100, 7)["typographic"].value == 0.0
    other = good.model_copy(update={"settings": {**good.settings, "seed": 8}})
    assert "other settings" in red_team_figures.compare(bad, other, 100, 7)["typographic"].note
    fewer = good.model_copy(update={"families": {}})
    assert "was not attacked by it" in red_team_figures.compare(bad, fewer, 100, 7)["occlusion"].note
    (line,) = (line for name, line in red_team_figures.lines(bad, {"typographic": change}).items()
               if name == "typographic")  # fmt: skip
    assert line.startswith("100.0 % [") and line.endswith("+100.0 [100.0, 100.0] points since")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "red_team.json").write_text('{"version": 2}')
    with pytest.raises(ValueError, match="red_team.json: version: .*sightline red-team"):
        red_team_figures.read(tmp_path / "red_team.json")


RATE = {"value": 30.0, "low": 22.0, "high": 38.0, "n": 200, "pictures": 200, "controls": {}}


@pytest.mark.parametrize(
    ("measured", "limit", "passed"),
    [
        (RATE, 30.0, True),
        (RATE, 29.0, False),
        (RATE | {"pictures": 20}, 29.0, None),  # few pictures: it could be below
        (RATE | {"pictures": 20}, 20.0, False),
        (RATE | {"pictures": 20}, 40.0, True),
        ({"not_tested": "no scene graphs"}, 0.0, None),
        (None, 0.0, None),
    ],
)
def test_bounds_of_the_gate(measured, limit, passed):
    attacks = None if measured is None else {"typographic": measured}
    (check,) = quality_gate.attack_checks(attacks, {"typographic": limit}, "shipped")
    assert check.passed is passed
    assert ("an older version built this" if measured is None else "typographic") in check.line()


def test_the_gate_stops_a_build_that_an_attack_takes_in_too_often(tmp_path):
    params_files.write(tmp_path, "scenes")
    bound = load_params(tmp_path / "params.yaml").gate.max_attack_success["false_premise"]
    summary = artifacts.read_json(ROOT / "metrics" / "summary.json")

    def judged(rate):
        path = tmp_path / metrics_summary.FILE
        path.parent.mkdir(exist_ok=True)
        attacks = {"false_premise": RATE | {"value": rate, "low": rate, "high": rate}}
        artifacts.write_json(path, summary | {"red_team": attacks})
        config = {"summary": artifacts.sha256(path)}
        with artifacts.create(tmp_path / metrics_summary.REPORT, "metrics", config):
            pass
        command = [sys.executable, ROOT / "stages" / "gate.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = judged(bound + 1)
    assert done.returncode == 1, done.stderr
    said = f"false-premise attack success is {bound + 1:g}, must be at most {bound:g}"
    assert said in done.stdout and "FAILED" in done.stdout
    kept = judged(bound)
    assert kept.returncode == 0 and "typographic attack success: this family was not tried" in kept.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, data):
    """With the scenes, and no model."""
    here = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "dvc.yaml", here / "dvc.yaml")
    params_files.write(here, "smoke", {"red_team.items": 4, "red_team.queries": 3})
    for folder in data:
        shutil.copytree(folder, here / "data" / folder.name)
    return here


def test_the_command_attacks_writes_and_judges(checkout, tmp_path, bundle):
    words = ("red-team", "--bundle", bundle, "--family", "absent_object", "--family", "small_perturbation")
    done = command_line.run(checkout, *words, "-o", tmp_path / "first", torch=False, code=0)
    assert re.search(r"red-team: absent_object: \d.*of 4 succeed \(present things .*; no bound", done.stdout)
    assert "index.html; open it in a browser" in done.stdout
    written = json.loads((tmp_path / "first" / "red_team.json").read_text())
    assert written["version"] == 1 and set(written["families"]) == {"absent_object", "small_perturbation"}
    earlier = tmp_path / "first" / "red_team.json"
    again = command_line.run(
        checkout, *words, "--against", earlier, "-o", tmp_path / "second", torch=False, code=0
    )
    assert "+0.0 [" in again.stdout and "points since" in again.stdout
    assert (tmp_path / "second" / "red_team.json").read_bytes() == earlier.read_bytes()
    assert "Against the earlier run: +0.0" in (tmp_path / "second" / "index.html").read_text()


def test_the_command_ends_with_1_where_a_bound_is_broken_and_with_2_for_a_slip(checkout, tmp_path, bundle):
    here = shutil.copytree(checkout, tmp_path / "bounded")
    limits = "max_attack_success: {absent_object: 0.0, another_picture: 100.0}"
    profile = here / "profiles" / "smoke.yaml"
    profile.write_text(profile.read_text().replace("max_attack_success: {}", limits))
    words = ("red-team", "--bundle", bundle, "--items", 60, "-o", tmp_path / "out")
    done = command_line.run(here, *words, "--family", "absent_object", torch=False, code=1)
    assert "WORSE than its bound of 0 %" in done.stdout and (tmp_path / "out" / "index.html").is_file()
    slip = command_line.run(here, *words, "--family", "typografic", torch=False, code=2)
    assert "did you mean 'typographic'?" in slip.stderr
