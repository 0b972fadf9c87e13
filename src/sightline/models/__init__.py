"""The building blocks under the field's names: `from sightline.models import MultiHeadAttention`.

They are thin faces (models/blocks) of what the pipeline's own models are made of (the modules beside this
one); docs/guide/models.md has the table. Each is imported when it is asked for, so that nothing else
pays for it.
"""

from importlib import import_module

FACES = {
    "BaseModel": "base_model",
    "FeedForwardNN": "feed_forward",
    "FeedForwardClassifier": "feed_forward",
    "MultiLayerPerceptron": "feed_forward",
    "LinearLayer": "layers",
    "FeedForwardBlock": "layers",
    "TokenEmbedding": "embeddings",
    "PositionalEncoding": "positional",
    "SinusoidalEncoding": "positional",
    "RotaryPositionEncoding": "positional",
    "ScaledDotProductAttention": "attention",
    "SimpleAttention": "attention",
    "MultiHeadAttention": "attention",
    "GroupedQueryAttention": "attention",
    "ALiBiAttention": "attention",
    "TransformerEncoderLayer": "transformer",
    "TransformerEncoder": "transformer",
    "TransformerDecoderLayer": "transformer",
    "TransformerDecoder": "transformer",
    "Transformer": "transformer",
    "EncoderDecoderTransformer": "transformer",
    "VisionTransformer": "multimodal",
    "MultiModalTransformer": "multimodal",
    "CrossAttentionMultiModalTransformer": "multimodal",
}
__all__ = sorted(FACES)


def __getattr__(name: str) -> type:
    if name in FACES:
        return getattr(import_module(f"{__name__}.blocks.{FACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
