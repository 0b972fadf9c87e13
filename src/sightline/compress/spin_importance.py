"""Which heads of the cross-attention SPIN nearly always silences (arXiv 2505.16411): those that look at the
image less than the others of their layer, whatever is asked. B rows, H heads, T tokens, M memory tokens, L
layers, K heads kept."""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.compress.structured_pruning import Importance
from sightline.core import progress
from sightline.spin import gate
from sightline.train.tasks.vqa import IGNORED, VqaTask

KEEP = 0.5  # share of a layer's heads that SPIN keeps while it is counted which ones


@torch.no_grad()
def kept_share(task: VqaTask, batches: int, keep: float) -> Tensor:
    """Share of the answer tokens at which SPIN would keep a head, [L, H], over training batches: the largest
    floor(keep * H) image masses of a layer are kept, at least one."""
    task.eval()
    config = task.model.config
    layers, heads = config["layers"], config["decoder_heads"]
    kept_L = gate.heads_kept(keep, None, list(range(layers)), layers, heads)
    count_LH, tokens = torch.zeros(layers, heads), 0
    for step in progress.track(range(batches), "heads of batches"):
        batch = task.batch(step)
        tokens_NPD = task.image_tokens(batch)
        for group in filter(None, (batch["short"], batch["long"])):
            memory, out = task.decode(tokens_NPD, group, need_maps=True)
            image_BM = memory.image_BM[:, None, None, :]
            assert out.maps is not None  # need_maps
            mass_LBHT = (out.maps * image_BM).sum(-1)
            top_LBKT = mass_LBHT.topk(kept_L[0], dim=2).indices
            kept_LBHT = torch.zeros_like(mass_LBHT).scatter_(2, top_LBKT, 1.0)
            real_BT = (group["targets"] != IGNORED).float()
            count_LH += torch.einsum("lbht,bt->lh", kept_LBHT, real_BT).cpu()
            tokens += int(real_BT.sum())
    return count_LH / max(tokens, 1)


def ranked(importance: Importance, kept_LH: Tensor) -> Importance:
    """`importance` with that of the cross-attention's units replaced by how often their heads are kept (their
    mean where several heads are one unit)."""
    shares = {f"decoder.layers.{layer}.cross_attention": kept_H for layer, kept_H in enumerate(kept_LH)}
    return {
        name: shares[name].reshape(len(scores), -1).mean(1) if name in shares else scores
        for name, scores in importance.items()
    }
