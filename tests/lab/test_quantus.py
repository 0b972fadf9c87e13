"""Our pointing game, relevance mass and deletion against Quantus's on the same maps of the same answers."""

import builtins

import pytest

quantus = pytest.importorskip(
    "quantus", reason="Quantus is not installed, so our figures are not checked: pip install quantus==0.6.0"
)

from sightline.explain import faithfulness_benchmark, target  # noqa: E402
from sightline_lab.faithfulness import quantus_crosscheck  # noqa: E402
from tests.support import tiny  # noqa: E402

SAME = 0.99  # correlation: their last step is smaller than ours


def labelled(model, number, rgb):
    """A forced answer; a random model looks anywhere, so the box is where its attention is, or elsewhere."""
    ids = tiny.tokenizer().encode("red", 8, special=False)
    case = target.force(model, rgb, tiny.QUESTIONS[0], ids)
    strongest = faithfulness_benchmark.heat(model, "cross_attention", case).pixel_map.argmax()
    y, x = divmod(int(strongest), rgb.shape[1])
    x0, y0 = (x - 3, y - 3) if number % 2 else ((x + 20) % 36, (y + 20) % 32)
    return faithfulness_benchmark.LocatedAnswer(
        case, True, (max(x0, 0), max(y0, 0), max(x0, 0) + 8, max(y0, 0) + 8), {}
    )


def test_the_same_figures_from_the_same_maps(model):
    cases = [labelled(model, number, rgb) for number, rgb in enumerate(tiny.pictures(6))]
    methods = ("cross_attention", "occlusion", "centre_gaussian", "random")
    result = quantus_crosscheck.compare(
        model,
        [(case, faithfulness_benchmark.heat(model, name, case.answer)) for case in cases for name in methods],
    )
    assert result["n"] == 24 and set(result["correlation"]) == set(quantus_crosscheck.FIGURES)
    assert min(result["correlation"].values()) >= SAME


def test_each_figure_alone(model):
    """Not only in proportion: the same numbers, but for the size of deletion's steps."""
    case = labelled(model, 1, tiny.pictures(1)[0])
    heat = faithfulness_benchmark.heat(model, "cross_attention", case.answer)
    ours, theirs = (
        quantus_crosscheck.ours(model, case, heat),
        quantus_crosscheck.theirs(quantus, model, case, heat),
    )
    assert ours[0] == theirs[0] == 1
    assert ours[1] == pytest.approx(theirs[1], abs=1e-9) and 0 < ours[1] < 1
    assert ours[2] == pytest.approx(theirs[2], abs=0.01)


def test_without_quantus_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def blocked(name, *rest, **named):
        if name == "quantus":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ValueError, match="pip install quantus"):
        quantus_crosscheck.compare(None, [])
