"""What each exported graph computes, as a module of tensors in and tensors out. Shapes as in graphs.py."""

from torch import Tensor, nn

from sightline.export import fused_attention
from sightline.models.dual_encoder import DualEncoder
from sightline.models.vlm import VLM, Memory
from sightline.spin.gate import SpinInputs


class ImageEncoder(nn.Module):
    def __init__(self, clip: DualEncoder):
        super().__init__()
        self.clip = fused_attention.with_own(clip, "vision")
        fused_attention.fuse_images(self.clip.vision)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.clip.encode_image(pixels)


class TextEncoder(nn.Module):
    def __init__(self, clip: DualEncoder):
        super().__init__()
        self.clip = clip

    def forward(self, ids: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.clip.encode_text(ids, text_mask)


class FusionHead(nn.Module):
    def __init__(self, clip: DualEncoder):
        super().__init__()
        self.clip = clip

    def forward(self, tokens: Tensor, states: Tensor, text_mask: Tensor) -> Tensor:
        return self.clip.match(tokens, states, text_mask)


class Vision(nn.Module):
    def __init__(self, vlm: VLM):
        super().__init__()
        self.vlm = fused_attention.with_own(vlm, "vision")
        fused_attention.fuse_images(self.vlm.vision)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.vlm.image_tokens(pixels)


class MemoryBuilder(nn.Module):
    """One image per question: the session decides which questions share an image. The question comes as the
    states that text_encoder gives: the frozen text tower is stored once."""

    def __init__(self, vlm: VLM):
        super().__init__()
        self.vlm = vlm

    def forward(
        self, image_tokens: Tensor, states: Tensor, ids: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, ...]:
        memory = self.vlm.memory(image_tokens, states, ids, text_mask)
        return *memory.joined(), memory.mask_BM, memory.image_BM


class CausalMemoryBuilder(nn.Module):
    """The same of a language model, which reads the question's tokens by itself."""

    def __init__(self, vlm: VLM):
        super().__init__()
        self.vlm = fused_attention.fused(vlm)

    def forward(self, image_tokens: Tensor, ids: Tensor, text_mask: Tensor) -> tuple[Tensor, ...]:
        memory = self.vlm.memory(image_tokens, None, ids, text_mask)
        return *memory.joined(), memory.mask_BM, memory.image_BM


class DecoderStep(nn.Module):
    def __init__(self, vlm: VLM):
        super().__init__()
        self.vlm = fused_attention.fused(vlm)

    def forward(
        self, tokens: Tensor, self_k: Tensor, self_v: Tensor, cross_k: Tensor, cross_v: Tensor, mask: Tensor,
        image: Tensor, heads_kept: Tensor, alpha: Tensor,
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        memory = Memory.of(cross_k, cross_v, mask, image)
        out = self.vlm.step(tokens, (self_k, self_v), memory, SpinInputs(heads_kept, alpha), need_maps=True)
        return self.vlm.over_all_tokens(out.logits), *out.cache, out.maps, out.gates
