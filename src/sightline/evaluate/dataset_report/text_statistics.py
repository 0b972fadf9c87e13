"""Caption lengths and vocabulary. N: captions."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import normalizers, pre_tokenizers

from sightline.data.tokenizer import DEFAULT_SWITCHES, Tokenizer

LONGEST = 1_000_000  # tokens: nothing is cut when lengths are counted
CHUNK = 2000  # captions encoded at once
TOP = 40

_normalize = normalizers.BertNormalizer(**DEFAULT_SWITCHES).normalize_str
_split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


def words(text: str) -> list[str]:
    """The words of a text as the tokenizer of the pipeline parts them, without punctuation."""
    return [word for word, _ in _split(_normalize(text)) if any(map(str.isalnum, word))]


def summary(values: Iterable[int]) -> dict:
    """Smallest, mean, median, 95th percentile, largest, and how many there are of each value."""
    counts = Counter(values)
    values_N = np.repeat(sorted(counts), [counts[value] for value in sorted(counts)])
    if not len(values_N):
        return {"n": 0, "histogram": {}}
    return {
        "n": len(values_N),
        "min": int(values_N[0]),
        "mean": round(float(values_N.mean()), 3),
        "median": float(np.median(values_N)),
        "p95": round(float(np.percentile(values_N, 95)), 3),
        "max": int(values_N[-1]),
        "histogram": {str(value): counts[value] for value in sorted(counts)},
    }


def share(part: float, whole: float) -> float | None:
    """part / whole, rounded; None of nothing."""
    return round(part / whole, 6) if whole else None


def tokens(texts: Sequence[str], tokenizer: Tokenizer, max_tokens: int) -> dict:
    """Token counts with both frame tokens, the share of texts longer than `max_tokens`, and of [UNK]."""
    lengths: list[int] = []
    unknown = 0
    for start in range(0, len(texts), CHUNK):
        ids_BT, mask_BT = tokenizer.batch(texts[start : start + CHUNK], LONGEST)
        lengths += mask_BT.sum(axis=1).tolist()
        unknown += int((ids_BT == tokenizer.unk).sum())
    cut = sum(length > max_tokens for length in lengths)
    return summary(lengths) | {
        "limit": max_tokens,
        "cut_share": share(cut, len(lengths)),
        "unknown_share": share(unknown, sum(lengths) - 2 * len(lengths)),
    }


def vocabulary(counts: Counter[str], train: Counter[str] | None) -> dict:
    """Different words, the most frequent ones, and the share of running words that `train` never has.

    `frequencies`: of each number of occurrences, how many words have it (enough to draw the Zipf curve).
    """
    running = counts.total()
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    spectrum = Counter(counts.values())
    result = {
        "running": running,
        "different": len(counts),
        "once": spectrum[1],
        "top": [[word, n] for word, n in ranked[:TOP]],
        "frequencies": {str(n): spectrum[n] for n in sorted(spectrum)},
    }
    if train is not None:
        new = {word: n for word, n in counts.items() if word not in train}
        result["unknown_running_share"] = share(sum(new.values()), running)
        result["unknown_different_share"] = share(len(new), len(counts))
    return result
