"""A numpy engine small enough to check by eye: random embeddings, one gated attention per layer, no BLAS.

einsum without optimisation adds in a fixed order, so every row is independent of its neighbours to the bit.
"""

import numpy as np

from sightline.inference.engine import ArrayCache, Memory, Step


class ToyEngine:
    def __init__(self, seed=0, layers=2, heads=4, width=8, vocab=12, patches=4, sharpness=3.0):
        draw = np.random.default_rng(seed)
        self.config = {
            "layers": layers,
            "heads": heads,
            "embed_dim": 6,
            "grid": [2, patches // 2],
            "image_size": 8,
        }
        self.layers, self.heads, self.width, self.head = layers, heads, width, width // heads
        self.words = draw.normal(size=(vocab, width)).astype(np.float32)
        self.out = (sharpness * draw.normal(size=(width, vocab))).astype(np.float32)
        self.patch = draw.normal(size=(patches, 3, width)).astype(np.float32)
        self.embed = draw.normal(size=(width, 6)).astype(np.float32)
        self.calls = {"image_tokens": 0, "memory": 0, "step": 0, "shapes": set()}

    def image_tokens(self, pixels_BCYX):
        self.calls["image_tokens"] += 1
        mean_BC = pixels_BCYX.mean(axis=(2, 3)).astype(np.float32)
        return np.einsum("bc,pcd->bpd", mean_BC, self.patch)

    def memory(self, image_tokens_BPD, ids_BT, mask_BT):
        self.calls["memory"] += 1
        memory_BMD = np.concatenate([image_tokens_BPD, self.words[ids_BT]], axis=1)
        batch, length = memory_BMD.shape[:2]
        heads = memory_BMD.reshape(batch, length, self.heads, self.head).transpose(0, 2, 1, 3)
        image_BM = np.zeros((batch, length), dtype=bool)
        image_BM[:, : image_tokens_BPD.shape[1]] = True
        mask_BM = np.concatenate([np.ones(image_tokens_BPD.shape[:2], dtype=bool), mask_BT], axis=1)
        keys = np.stack([heads * (layer + 1) for layer in range(self.layers)])
        return Memory(keys, keys[..., ::-1].copy(), mask_BM, image_BM)

    def step(self, tokens_BT, cache, memory, k_L, alpha, need_maps):
        self.calls["step"] += 1
        self.calls["shapes"].add(tokens_BT.shape)
        batch = tokens_BT.shape[0]
        state_BTD = self.words[tokens_BT]
        new = state_BTD.reshape(batch, -1, self.heads, self.head).transpose(0, 2, 1, 3)
        new = np.stack([new] * self.layers)
        past = new if cache is None else np.concatenate([cache[0], new], axis=3)
        maps, gates = [], []
        for layer in range(self.layers):
            total = past.shape[3]
            query = np.stack([past[layer, :, :, : total - tokens_BT.shape[1] + t + 1].mean(axis=2)
                              for t in range(tokens_BT.shape[1])], axis=2) + state_BTD.reshape(
                batch, -1, self.heads, self.head).transpose(0, 2, 1, 3)  # fmt: skip
            logits = np.einsum("bhtd,bhmd->bhtm", query, memory.cross_k[layer])
            logits = np.where(memory.mask_BM[:, None, None], logits, -1e9)
            attn = np.exp(logits - logits.max(-1, keepdims=True))
            attn /= attn.sum(-1, keepdims=True)
            mass = np.round((attn * memory.image_BM[:, None, None]).sum(-1), 4)
            rank = ((mass[:, None] > mass[:, :, None])
                    | ((mass[:, None] == mass[:, :, None])
                       & (np.arange(self.heads)[None, :] < np.arange(self.heads)[:, None])[None, :, :, None])
                    ).sum(2)  # fmt: skip
            gate = np.where(rank < k_L[layer], 1.0, alpha).astype(np.float32)
            heads = np.einsum("bhtm,bhmd->bhtd", attn, memory.cross_v[layer]) * gate[..., None]
            state_BTD = state_BTD + heads.transpose(0, 2, 1, 3).reshape(batch, -1, self.width)
            maps.append(attn.astype(np.float32))
            gates.append(gate)
        logits = np.einsum("btd,dv->btv", state_BTD, self.out)
        return Step(logits, ArrayCache(past, past), np.stack(maps) if need_maps else None,
                    np.stack(gates) if need_maps else None)  # fmt: skip

    def embed_images(self, pixels_BCYX):
        tokens = self.image_tokens(pixels_BCYX)
        return tokens, _unit(np.einsum("bd,de->be", tokens.mean(1), self.embed))

    def embed_texts(self, ids_BT, mask_BT):
        states = self.words[ids_BT] * mask_BT[..., None]
        return states, _unit(np.einsum("bd,de->be", states.sum(1), self.embed))

    def match(self, tokens_BPD, states_BTD, mask_BT):
        return np.einsum("bd,bd->b", tokens_BPD.mean(1), (states_BTD * mask_BT[..., None]).sum(1))


def _unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def toy_memory(engine, batch=5, question=3, seed=1):
    draw = np.random.default_rng(seed)
    pixels = draw.normal(size=(batch, 3, 8, 8)).astype(np.float32)
    ids = draw.integers(4, len(engine.words), size=(batch, question))
    mask = np.ones((batch, question), dtype=bool)
    mask[::2, -1] = False
    return engine.memory(engine.image_tokens(pixels), ids, mask)
