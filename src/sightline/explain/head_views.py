"""Cross-attention looked at layer by layer and head by head. Shapes: L layers, H heads."""

from __future__ import annotations

import numpy as np

from sightline.explain.heatmap import Explanation
from sightline.explain.methods import cross_attention
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def views(model: ExplainedModel, answer: ExplainedAnswer) -> dict[str, Explanation]:
    """All heads together, every layer, every head: name -> the explanation from these alone."""
    assert answer.gates_LHT is not None  # an answer with words has them
    layers, heads = answer.gates_LHT.shape[:2]
    chosen = {"all heads": np.ones((layers, heads))}
    for layer in range(layers):
        of_layer = np.zeros((layers, heads))
        of_layer[layer] = 1
        chosen[f"layer {layer}"] = of_layer
        for head in range(heads):
            of_head = np.zeros((layers, heads))
            of_head[layer, head] = 1
            chosen[f"head {layer}.{head}"] = of_head
    silenced_LH = np.mean(answer.gates_LHT < 1, axis=-1)
    return {
        name: Explanation(
            answer.question, answer.answer, answer.confidence,
            cross_attention.of_heads(model, answer, [tokens for _, tokens in answer.words], weight_LH),
            silenced_LH,
        )
        for name, weight_LH in chosen.items()
    }  # fmt: skip
