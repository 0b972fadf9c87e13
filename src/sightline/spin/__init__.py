"""SPIN, image-guided head suppression (arXiv 2505.16411): the published rule, for any model.

gate.py: the rule: which heads are kept, the factor on the others
controls.py: random heads and the inverse choice, as controls
amplified_attention.py: attention to the image made larger (PAI)
huggingface.py: the rule on a Hugging Face vision-language model

Not here: its settings (`core/params/generation.py`), where decoders apply it (`models/decoder`,
`export`), its evaluation (`evaluate`, `sightline_lab/hallucination`).

`attach`, `detach` and `suppressed` come from `huggingface.py` on first use, so that importing this
package imports neither torch nor transformers.
"""

from importlib import import_module

__all__ = ["Suppression", "attach", "detach", "suppressed"]


def __getattr__(name: str):
    if name in __all__:
        return getattr(import_module("sightline.spin.huggingface"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
