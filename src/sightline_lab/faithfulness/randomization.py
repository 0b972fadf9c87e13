"""Model parameter randomisation (Adebayo et al. 2018, arXiv 1810.03292): a map that stays as it was when the
weights are destroyed shows the picture, not the model."""

import copy

import torch

from sightline.models.vlm import VLM

PARTS = {  # from the output to the input, each with what came before
    "decoder": ("decoder", "joint"),
    "decoder and image tower": ("decoder", "joint", "vision"),
}


def shuffled(vlm: VLM, parts: tuple[str, ...], seed: int) -> VLM:
    """A copy in which the entries of every weight of these parts change places within their tensor: scale
    and distribution stay, what was learned goes."""
    draw = torch.Generator().manual_seed(seed)
    broken = copy.deepcopy(vlm)
    with torch.no_grad():
        for name, weight in broken.named_parameters():
            if name.split(".")[0] in parts:
                order = torch.randperm(weight.numel(), generator=draw)
                weight.copy_(weight.flatten()[order].view_as(weight))
    return broken.eval()
