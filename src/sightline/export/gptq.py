"""Weights rounded to 4 bits so that a product changes least on real inputs: GPTQ (Frantar et al., arXiv
2210.17323). Row by row of the sum, what rounding a row does to the product is undone, as far as the inputs
allow it, by the rows that are not rounded yet. ONNX Runtime's own gptq gives rounded floats back, without
the levels and scales that a file keeps.

R rows (the product sums over them), C columns, G rows of a block, B blocks.
"""

import numpy as np

BLOCK = 32  # weights of a column that share a scale
LEVELS = 7  # -7..7: with -8 an unfolded weight could leave the range that int8 kernels were given
CLIPPED = np.linspace(0.7, 1.0, 7)  # shares of a block's range that are tried: outliers may cost more
DAMP = 0.01  # of the mean second moment, added to all: the paper's


def rounded(
    weight_RC: np.ndarray, moment_RR: np.ndarray, kind: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """(levels int64 [B, G, C] in -7..7, scales float32 [B, 1, C], exact in `kind`) whose product is close to
    the weight; R is a multiple of BLOCK. moment_RR: sum of x x^T over the inputs x of the product; a multiple
    of the identity takes every weight for equally important, which rounds each to its nearest."""
    rows, columns = weight_RC.shape
    left_RC = weight_RC.astype(np.float64)
    hessian_RR = moment_RR + np.eye(rows) * _damping(moment_RR)
    spread_RR = np.linalg.cholesky(np.linalg.inv(hessian_RR)).T
    weight_R = np.diag(hessian_RR)
    levels_RC = np.zeros((rows, columns), dtype=np.int64)
    scales_BC = np.zeros((rows // BLOCK, columns), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        block = slice(start, start + BLOCK)
        scale_C = scales_BC[start // BLOCK] = _scale(left_RC[block], weight_R[block], kind)
        for row in range(start, start + BLOCK):
            levels_RC[row] = np.clip(np.rint(left_RC[row] / scale_C), -LEVELS, LEVELS)
            error_C = (left_RC[row] - levels_RC[row] * scale_C) / spread_RR[row, row]
            left_RC[row + 1 :] -= np.outer(spread_RR[row, row + 1 :], error_C)
    return levels_RC.reshape(-1, BLOCK, columns), scales_BC[:, None, :]


def _damping(moment_RR: np.ndarray) -> float:
    """With all-zero inputs every weight counts the same."""
    return DAMP * float(np.mean(np.diag(moment_RR))) or 1.0


def _scale(weight_GC: np.ndarray, weight_G: np.ndarray, kind: type) -> np.ndarray:
    """The scale of every column, exact in `kind`, that leaves the least squared error, rows weighted."""
    top_C = np.abs(weight_GC).max(axis=0)
    best_C, least_C = np.ones(top_C.shape, dtype=np.float32), np.full_like(top_C, np.inf)
    for share in CLIPPED:
        scale_C = (top_C * share / LEVELS).astype(kind).astype(np.float32)
        scale_C[scale_C == 0] = 1
        off_GC = np.clip(np.rint(weight_GC / scale_C), -LEVELS, LEVELS) * scale_C - weight_GC
        error_C = weight_G @ np.square(off_GC)
        better_C = error_C < least_C
        best_C[better_C], least_C[better_C] = scale_C[better_C], error_C[better_C]
    return best_C
