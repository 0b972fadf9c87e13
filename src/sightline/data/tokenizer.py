"""WordPiece tokenizer: trained on the captions, or that of a Hugging Face BERT.

Lower-case, split at spaces and punctuation (BERT's rules: Devlin et al. 2019, https://arxiv.org/abs/1810.04805).
Shapes: B texts, T tokens.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from sightline.data.questions.prompt_template import BERT_TOKENS, TEMPLATE_TOKENS

MAX_FILE_BYTES = 64 * 2**20


# BERT's own: accents are stripped (None) when lower-casing is on.
class Switches(TypedDict):
    """The switches of BERT's normalizer; `strip_accents` None: as `lowercase`."""

    clean_text: bool
    handle_chinese_chars: bool
    strip_accents: bool | None
    lowercase: bool


DEFAULT_SWITCHES: Switches = {
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}


class Tokenizer:
    """Text to token ids and back. Ids are looked up by name, so a foreign BERT vocabulary works as it is."""

    def __init__(self, vocab: dict[str, int], normalizer: Switches, max_word: int = 100) -> None:
        self._normalizer = normalizer
        self._vocab = vocab
        self._backend = _backend(vocab, normalizer, max_word)
        self.pad, self.unk, self.bos, self.eos, self.mask = (vocab[token] for token in BERT_TOKENS)
        self.template_ids = {token: vocab[token] for token in TEMPLATE_TOKENS if token in vocab}
        self._special = {vocab[token] for token in (*BERT_TOKENS, *self.template_ids)}
        self._tokens = [token for token, _ in sorted(vocab.items(), key=lambda entry: entry[1])]

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self._vocab)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no part of any text."""
        return frozenset(self._special)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, min_frequency: int) -> "Tokenizer":
        """Learn a vocabulary; the same texts give the same one in any process.

        The trainer of `tokenizers` numbers continuation characters (##a) in the order of a randomly seeded
        hash map and breaks ties between merges by those numbers. Handing it every character as a token fixes
        both.
        """
        normalize = normalizers.BertNormalizer(**DEFAULT_SWITCHES).normalize_str
        lines = Counter[str]()
        for text, times in Counter(texts).items():
            lines[normalize(_without_specials(text))] += times
        counts = Counter[str]()
        for line, times in lines.items():
            for char, occurrences in Counter(line).items():
                counts[char] += times * occurrences
        characters = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))
        reserved = [*BERT_TOKENS, *TEMPLATE_TOKENS]
        room = (vocab_size - len(reserved)) // 4
        if not characters or room < 1:
            raise ValueError(
                f"tokenizer: {len(characters)} characters and convert.vocab_size {vocab_size}: expected "
                f"some text and a vocabulary of {len(reserved) + 4} or more; give captions or raise the size"
            )
        kept = sorted(characters[:room])
        keep = dict.fromkeys(map(ord, characters[room:]), " ")
        pieces = [*reserved, *kept, *("##" + char for char in kept)]
        backend = _backend({token: i for i, token in enumerate(reserved)}, DEFAULT_SWITCHES, 100)
        trainer = trainers.WordPieceTrainer(
            vocab_size=max(vocab_size, len(pieces)),
            min_frequency=min_frequency,
            special_tokens=pieces,
            limit_alphabet=len(kept),
            show_progress=False,
        )
        corpus = (line.translate(keep) for line, times in sorted(lines.items()) for _ in range(times))
        backend.train_from_iterator(corpus, trainer)
        return cls(backend.get_vocab(), DEFAULT_SWITCHES)

    @classmethod
    def load(cls, path: Path | str) -> "Tokenizer":
        """Read a tokenizer.json (ours, or that of a BERT); ValueError if it is anything else.

        Only the vocabulary and the normaliser's switches are taken over: truncation, padding and templates
        written in a foreign file would silently change what is encoded.
        """
        data = _read(Path(path))
        model, normalizer = data.get("model"), data.get("normalizer") or {}
        if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
            raise _bad(path, "the model is not a WordPiece model")
        if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
            raise _bad(path, "the normalizer is not a BertNormalizer")
        if model.get("continuing_subword_prefix", "##") != "##" or model.get("unk_token", "[UNK]") != "[UNK]":
            raise _bad(path, "continuation prefix or unknown token differ from BERT's ('##', '[UNK]')")
        vocab = _vocab(path, model.get("vocab"), data.get("added_tokens", []))
        switches = {key: normalizer.get(key, default) for key, default in DEFAULT_SWITCHES.items()}
        if any(value not in (True, False, None) for value in switches.values()):
            raise _bad(path, f"normalizer switches are not true, false or null: {switches}")
        max_word = model.get("max_input_chars_per_word", 100)
        if type(max_word) is not int or not 1 <= max_word <= 10_000:
            raise _bad(path, f"max_input_chars_per_word is {max_word!r}")
        return cls(vocab, cast(Switches, switches), max_word)

    def save(self, path: Path | str) -> None:
        """Write one tokenizer.json: the same bytes for the same vocabulary, readable by `tokenizers` too."""
        data = json.loads(self._backend.to_str())
        data["model"]["vocab"] = {token: self._vocab[token] for token in self._tokens}
        text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        Path(path).write_text(text, encoding="utf-8", newline="\n")

    def encode(self, text: str, max_tokens: int, special: bool = True) -> list[int]:
        """[CLS] pieces [SEP], cut to `max_tokens` in all; `special=False` leaves the two out."""
        return self._frame(self._backend.encode(text, add_special_tokens=False).ids, max_tokens, special)

    def batch(
        self, texts: Sequence[str], max_tokens: int, pad_to: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(ids_BT int64, mask_BT bool, True = token), padded to `pad_to` or to the longest text."""
        encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        rows = [self._frame(encoding.ids, max_tokens, True) for encoding in encodings]
        length = max((len(row) for row in rows), default=0)
        if pad_to is not None and length > pad_to:
            raise ValueError(
                f"tokenizer: {length} tokens of a text do not fit pad_to {pad_to}; lower max_tokens"
            )
        ids_BT = np.full((len(rows), length if pad_to is None else pad_to), self.pad, dtype=np.int64)
        mask_BT = np.zeros(ids_BT.shape, dtype=bool)
        for row, ids in enumerate(rows):
            ids_BT[row, : len(ids)] = ids
            mask_BT[row, : len(ids)] = True
        return ids_BT, mask_BT

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, special tokens left out."""
        return self._backend.decode([i for i in map(int, ids) if i not in self._special])

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The token behind each id, special ones too."""
        return [self._tokens[int(i)] for i in ids]

    def words(self, ids: Iterable[int]) -> list[tuple[str, list[int]]]:
        """Whole words with the positions of their pieces in `ids`; special tokens belong to no word."""
        words: list[tuple[str, list[int]]] = []
        previous = -2
        for position, i in enumerate(map(int, ids)):
            if i in self._special:
                continue
            piece = self._tokens[i]
            if piece.startswith("##") and previous == position - 1:
                word, positions = words[-1]
                words[-1] = (word + piece[2:], [*positions, position])
            else:
                words.append((piece, [position]))
            previous = position
        return words

    def _frame(self, ids: list[int], max_tokens: int, special: bool) -> list[int]:
        if max_tokens < 2:
            raise ValueError(f"tokenizer: max_tokens is {max_tokens}, expected at least 2")
        return [self.bos, *ids[: max_tokens - 2], self.eos] if special else ids[:max_tokens]


def _without_specials(text: str) -> str:
    for token in (*BERT_TOKENS, *TEMPLATE_TOKENS):
        text = text.replace(token, " ")
    return text


def _backend(vocab: dict[str, int], normalizer: Switches, max_word: int) -> Backend:
    model = models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=max_word)
    backend = Backend(model)
    backend.normalizer = normalizers.BertNormalizer(**normalizer)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    present = [token for token in (*BERT_TOKENS, *TEMPLATE_TOKENS) if token in vocab]
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in present])
    return backend


def _bad(path: Path | str, why: str) -> ValueError:
    return ValueError(
        f"{path}: {why}; expected the tokenizer.json of a BERT-like WordPiece tokenizer; "
        "run `dvc checkout`, rerun the convert stage, or download the checkpoint again"
    )


def _read(path: Path) -> dict:
    if not path.is_file():
        raise _bad(path, "no such file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise _bad(path, f"{path.stat().st_size} bytes, more than {MAX_FILE_BYTES}")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"no readable JSON ({error})") from error
    if not isinstance(data, dict):
        raise _bad(path, "the file holds no JSON object")
    return data


def _vocab(path: Path | str, vocab: object, added: object) -> dict[str, int]:
    if not isinstance(vocab, dict) or not vocab:
        raise _bad(path, "it has no vocabulary")
    entries = dict(vocab)
    for token in added if isinstance(added, list) else []:
        content, i = (token.get("content"), token.get("id")) if isinstance(token, dict) else (None, None)
        if type(content) is not str or type(i) is not int or entries.setdefault(content, i) != i:
            raise _bad(path, f"added token {token!r} contradicts the vocabulary")
    ids = list(entries.values())
    if not all(type(token) is str for token in entries) or not all(type(i) is int for i in ids):
        raise _bad(path, "vocabulary entries are not all text: number")
    if sorted(ids) != list(range(len(ids))):
        raise _bad(path, f"the {len(ids)} ids are not 0..{len(ids) - 1}, each once")
    missing = [token for token in BERT_TOKENS if token not in entries]
    if missing:
        raise _bad(path, f"the vocabulary lacks {', '.join(missing)}")
    return entries
