"""Schemas of the sections `text`, `vision` and `decoder`: the towers."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from sightline.core.hub_files import REVISION
from sightline.core.params.checks import (
    NO_INPUT,
    Count,
    CountOrNone,
    Name,
    PlugIn,
    Settings,
    heads_fit,
    require,
)

Positions = Literal["learned", "sinusoidal", "rotary", "alibi", "none"]
Norm = Literal["pre", "post"]
NormType = Literal["layer", "rms"]
Activation = Literal["gelu", "relu", "tanh", "sigmoid", "swiglu"]

# What some towers do not use stays as in params.yaml: another value would change nothing.
LAYER = {
    "key_value_heads": 0,
    "norm": "pre",
    "norm_type": "layer",
    "activation": "gelu",
    "tie_embeddings": True,
}
UNUSED: dict[str, tuple[dict[str, object], str]] = {
    "hf": (LAYER | {"positions": "learned"}, "its checkpoint decides"),
    "idf_bag": (LAYER, "it has no layers"),
    "hf_idf_bag": (LAYER | {"positions": "learned"}, "it has no layers of its own"),
}
FROM_CHECKPOINT = ("hf", "hf_idf_bag")  # text towers that bring weights and a tokenizer


def require_pinned(revision: str, why: str, hub: bool) -> None:
    """Raise ParamsError unless weights of the hub are those of a commit, and other weights name none."""
    fits = bool(re.fullmatch(REVISION, revision)) if hub else revision == ""
    commit = f"all 40 digits of a commit, as {why}: a branch is other weights another day"
    require(fits, "revision", revision, commit if hub else f"empty, unless {why}")


class TextParams(Settings):
    """Parameters of the text tower."""

    tower: Annotated[str, AfterValidator(PlugIn("models/text"))] = Field(description="the text tower")
    name: str = Field(description="hf, hf_idf_bag: the name on the hub, unless checkpoint is given")
    revision: str = Field(description="hf, hf_idf_bag: the commit of that name on the hub")
    checkpoint: Name = Field(description="hf, hf_idf_bag: folder of a model; never in a profile")
    width: Count = Field(description="of a token's state")
    layers: Count = Field(description="transformer layers")
    heads: Count = Field(description="attention heads of a layer")
    key_value_heads: CountOrNone = Field(
        description="fewer than heads: grouped-query attention (1: multi-query); 0: as many as heads"
    )
    positions: Positions = Field(description="how a token's position enters")
    norm: Norm = Field(description="normalise before or after a block")
    norm_type: NormType = Field(description="LayerNorm or RMSNorm")
    activation: Activation = Field(description="of the feed-forward blocks")
    tie_embeddings: bool = Field(description="the output matrix is the embedding")
    max_tokens: int = Field(ge=8, description="longest text, tokens")

    @model_validator(mode="after")
    def fits_its_tower(self) -> "TextParams":
        heads_fit("text", self, self.positions)
        sources = [value for value in (self.name, self.checkpoint) if value not in ("", NO_INPUT)]
        wanted = self.tower in FROM_CHECKPOINT
        words = "a folder or text.name" if wanted else "neither a folder nor text.name"
        fits = len(sources) == (1 if wanted else 0)
        require(fits, "checkpoint", sources, f"{words}, as text.tower is {self.tower}")
        require_pinned(self.revision, "text.name is on the hub", hub=bool(self.name))
        if self.tower == "idf_bag":
            words = "learned, sinusoidal or none, as text.tower is idf_bag: it has no attention"
            require(self.positions not in ("rotary", "alibi"), "positions", self.positions, words)
        leaves, why = UNUSED.get(self.tower, ({}, ""))
        for leaf, left in leaves.items():
            value, words = getattr(self, leaf), f"{left!r}, as text.tower is {self.tower}: {why}"
            require(value == left, leaf, value, words)
        return self

    def tower_config(self) -> dict[str, Any]:
        """Return what the tower is built from; `checkpoint` is a folder, a name on the hub, which has a
        `revision`, or empty."""
        source = self.name if self.checkpoint == NO_INPUT else self.checkpoint
        pinned = {"revision": self.revision} if self.revision else {}
        return self.model_dump(exclude={"name", "revision"}) | {"checkpoint": source} | pinned


class VisionParams(Settings):
    """Parameters of the image tower."""

    tower: Annotated[str, AfterValidator(PlugIn("models/vision"))] = Field(description="the image tower")
    name: str = Field(description="timm, torchvision: the architecture; hf: the name on the hub")
    pretrained: Literal["none", "hub", "file"] = Field(description="weights to start from; file: checkpoint")
    checkpoint: Name = Field(description="a safetensors file, of hf a model's folder; never in a profile")
    revision: str = Field(description="hub: the commit of the weights, 40 digits")
    preprocessing: Literal["published", "plain"] = Field(
        description="of pictures: as the weights were made with (small_cnn has its own), or the whole centre "
        "square, bicubic"
    )
    image_size: int = Field(ge=16, description="side of the input, pixels")
    trained_blocks: CountOrNone = Field(
        description="timm: last blocks of the tower that train; what the others make of a picture is kept on "
        "disk; 0: all train"
    )
    width: int = Field(ge=8, description="small_cnn: of a patch's state")

    @model_validator(mode="after")
    def family_names_an_architecture(self) -> "VisionParams":
        named = self.tower not in ("timm", "torchvision") or bool(self.name)
        require(named, "name", self.name, f"an architecture of {self.tower}")
        if self.tower == "hf":
            require(self.pretrained != "none", "pretrained", self.pretrained,
                    "hub or file, as vision.tower is hf: its checkpoint is its architecture")  # fmt: skip
            require(self.pretrained == "file" or bool(self.name), "name", self.name, "a name on the hub")
        return self

    @model_validator(mode="after")
    def only_known_blocks_train_alone(self) -> "VisionParams":
        fits = self.trained_blocks == 0 or (self.tower == "timm" and self.pretrained != "none")
        words = "0, unless vision.tower is timm and pretrained: blocks that never trained must have weights"
        require(fits, "trained_blocks", self.trained_blocks, words)
        return self

    @model_validator(mode="after")
    def checkpoint_is_there_when_wanted(self) -> "VisionParams":
        file, why = self.checkpoint != NO_INPUT, f"as vision.pretrained is {self.pretrained}"
        if self.pretrained == "file":
            fits = file and (self.tower == "hf" or self.checkpoint.endswith(".safetensors"))
            words = "a model's folder" if self.tower == "hf" else "a .safetensors file"
        else:
            fits, words = not file, NO_INPUT
        require(fits, "checkpoint", self.checkpoint, f"{words}, {why}")
        require_pinned(self.revision, "vision.pretrained is hub", hub=self.pretrained == "hub")
        return self

    def tower_config(self) -> dict[str, Any]:
        """Return what the tower is built from; `checkpoint` is none, hub, a file or a folder. Without
        `preprocessing` pictures are read the plain way, or that of a tower that publishes none."""
        config = self.model_dump(exclude={"pretrained", "revision", "preprocessing", "trained_blocks"})
        if self.trained_blocks:
            config["trained_blocks"] = self.trained_blocks
        config["checkpoint"] = self.checkpoint if self.pretrained == "file" else self.pretrained
        if self.pretrained == "hub":
            config["revision"] = self.revision
        if self.tower == "hf" or (self.tower != "small_cnn" and self.preprocessing == "published"):
            config["preprocessing"] = self.preprocessing
        return config


class DecoderParams(Settings):
    """Parameters of the decoder's tower; its training, and the size of our own, are in `finetune`."""

    tower: Annotated[str, AfterValidator(PlugIn("models/decoder"))] = Field(
        description="cross_attention: our own, from scratch; hf: a pretrained causal language model"
    )
    name: str = Field(description="hf: the name on the hub, unless checkpoint is given")
    revision: str = Field(description="hf: the commit of that name on the hub")
    checkpoint: Name = Field(description="hf: folder of a model; never in a profile")
    tuning: Literal["whole", "lora"] = Field(
        description="hf: what of it trains in the second phase: all, or low-rank adapters (LoRA)"
    )
    lora_rank: Count = Field(description="of tuning lora: rank of the adapters")

    @model_validator(mode="after")
    def fits_its_tower(self) -> "DecoderParams":
        sources = [value for value in (self.name, self.checkpoint) if value not in ("", NO_INPUT)]
        wanted = self.tower == "hf"
        words = "a folder or decoder.name, as decoder.tower is hf" if wanted else (
            f"neither a folder nor decoder.name, as decoder.tower is {self.tower}"
        )  # fmt: skip
        require(len(sources) == int(wanted), "checkpoint", sources, words)
        require_pinned(self.revision, "decoder.name is on the hub", hub=bool(self.name))
        return self

    @property
    def source(self) -> str:
        """Return the folder or the name on the hub."""
        return self.name if self.checkpoint == NO_INPUT else self.checkpoint
