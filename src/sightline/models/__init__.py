"""The models: towers, the dual encoder, the answering model and their layers, in torch.

vision/: image towers, a file each
text/: text towers, a file each
decoder/: decoders of the answering model, a file each
tower.py: the interface of towers
dual_encoder.py: CLIP: image and text in one space, with the re-ranker
pretrained_dual_encoder.py: a CLIP or SigLIP of Hugging Face as one
quiet_loading.py: transformers without its report
fusion.py: re-rankers
vlm.py: the interface of answering models
answer_tokens.py: the tokens that a decoder scores, of a tokenizer with many more
init_from_alignment.py: the start of our own decoder from the dual encoder's words
transformer.py: stacks of layers
layers.py: encoder, decoder and cross layers
layer_config.py: norm, activation, positions of a layer
module_list.py: a ModuleList typed by its modules
attention.py: multi-head attention
feed_forward.py: the feed-forward block
positions.py: positions of tokens and patches
blocks/: the model library under the textbooks' names

Not here: training (`train`), losses (`train/losses`), running exported models (`inference`).

`from sightline.models import MultiHeadAttention` finds the classes of `blocks/`; each is imported on
first use, so that nothing else pays for it.
"""

from importlib import import_module

CLASS_FILES = {
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
__all__ = sorted(CLASS_FILES)


def __getattr__(name: str) -> type:
    if name in CLASS_FILES:
        return getattr(import_module(f"{__name__}.blocks.{CLASS_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
