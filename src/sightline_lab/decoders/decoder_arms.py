"""The arms: the profile's own decoder, and a causal language model that reads image tokens and question."""

from pathlib import Path

from sightline_lab.ablations.arms import DEFAULT, Arm

CAUSAL = "causal"


def arms(language_model: Path) -> dict[str, Arm]:
    """language_model: folder of the causal one."""
    own = "our own decoder, whose cross-attention reads image and question"
    causal = "a causal language model with random weights, whose self-attention reads image and question"
    changes = {
        "decoder.tower": "hf", "decoder.checkpoint": str(language_model),
        "compress.head_ratio": 0.0, "compress.neuron_ratio": 0.0,  # which cut our own decoder alone
        "finetune.dropout": 0.0,  # of our own decoder; its config sets that of a language model
    }  # fmt: skip
    return {
        DEFAULT: Arm(DEFAULT, own, {}, "finetune"),
        CAUSAL: Arm(CAUSAL, causal, changes, "finetune"),
    }
