"""LIME (Ribeiro, Singh and Guestrin 2016, arXiv 1602.04938) by Captum over parts of the picture
(`explain.segments`) and question words: a linear model of the word's log-probability on 512 samples near the
picture, by ridge regression. Needs Captum; uses the session, so it explains ONNX and PyTorch alike."""

from sightline.explain.heatmap import Heatmap
from sightline.explain.methods import _captum
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    return _captum.explain(model, answer, tokens, "lime")
