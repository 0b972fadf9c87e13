"""SPIN, image-guided head suppression (arXiv 2505.16411).

`gate` is the rule, for any model. `attach`, `detach` and `suppressed` put it on a vision-language model of
Hugging Face (module `huggingface`); they are found on first use, so that importing this package imports
neither torch nor transformers.
"""

from importlib import import_module

__all__ = ["Suppression", "attach", "detach", "suppressed"]


def __getattr__(name: str):
    if name in __all__:
        return getattr(import_module("sightline.spin.huggingface"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
