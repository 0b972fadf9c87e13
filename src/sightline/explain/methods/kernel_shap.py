"""KernelSHAP (Lundberg and Lee 2017, arXiv 1705.07874) by Captum over parts of the picture
(`explain.segments`) and question words: Shapley values of the word's log-probability, estimated from 512
coalitions. Needs Captum; uses the session, so it explains ONNX and PyTorch alike."""

from sightline.explain.heatmap import Heatmap
from sightline.explain.methods import _captum
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    return _captum.explain(model, answer, tokens, "kernel_shap")
