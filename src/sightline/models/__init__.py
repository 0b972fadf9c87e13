"""The building blocks under the field's names: `from sightline.models import MultiHeadAttention`.

They are thin faces (models/blocks) of what the pipeline's own models are made of (the modules beside this
one); docs/guide/models.md has the table. Each is imported when it is asked for, so that nothing else
pays for it.
"""

from importlib import import_module

FACES = {
    "BaseModel": "base_model",
    "FeedForwardNN": "feed_forward_modules",
    "FeedForwardClassifier": "feed_forward_modules",
    "MultiLayerPerceptron": "feed_forward_modules",
    "LinearLayer": "linear_modules",
    "FeedForwardBlock": "linear_modules",
    "TokenEmbedding": "token_embeddings",
    "PositionalEncoding": "positional_modules",
    "SinusoidalEncoding": "positional_modules",
    "RotaryPositionEncoding": "positional_modules",
    "ScaledDotProductAttention": "attention_modules",
    "SimpleAttention": "attention_modules",
    "MultiHeadAttention": "attention_modules",
    "GroupedQueryAttention": "attention_modules",
    "ALiBiAttention": "attention_modules",
    "TransformerEncoderLayer": "transformer_modules",
    "TransformerEncoder": "transformer_modules",
    "TransformerDecoderLayer": "transformer_modules",
    "TransformerDecoder": "transformer_modules",
    "Transformer": "transformer_modules",
    "EncoderDecoderTransformer": "transformer_modules",
    "VisionTransformer": "multimodal_modules",
    "MultiModalTransformer": "multimodal_modules",
    "CrossAttentionMultiModalTransformer": "multimodal_modules",
}
__all__ = sorted(FACES)


def __getattr__(name: str) -> type:
    if name in FACES:
        return getattr(import_module(f"{__name__}.blocks.{FACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
