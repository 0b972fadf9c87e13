"""Text to token ids and back: the WordPiece tokenizer that is trained on the captions, or the one that a
pretrained model brings, any `tokenizer.json` of the `tokenizers` library (WordPiece, BPE, byte-level BPE,
Unigram) with its own normalizer, pre-tokenizer, decoder and post-processor.

Ids are those of transformers' fast tokenizers, but for two things: truncation and padding that a file sets
are not applied, ours are, and a text cannot spell a control token. The trained one is lower-case and splits
at spaces and punctuation (BERT's rules: Devlin et al. 2019, https://arxiv.org/abs/1810.04805).
Shapes: B texts, T tokens.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from sightline.data import tokenizer_files
from sightline.data.questions.prompt_template import BERT_TOKENS, TEMPLATE_TOKENS

REPLACEMENT = "\ufffd"  # what a decoder writes for a part of a character
PROBES = ("a", "the", "0")  # texts of at least one token: what stands around them is the frame
USUAL_NAMES = {
    "pad": ("[PAD]", "<pad>", "<|pad|>", "<|padding|>"),
    "unk": ("[UNK]", "<unk>", "<|unk|>"),
    "bos": ("[CLS]", "<s>", "<bos>", "<|startoftext|>", "<|begin_of_text|>"),
    "eos": ("[SEP]", "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>"),
    "mask": ("[MASK]", "<mask>", "<|mask|>"),
}


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


class Frame(NamedTuple):
    """Ids that stand before and after every text."""

    before: list[int]
    after: list[int]


class Tokenizer:
    """Text to token ids and back.

    The special tokens have roles: `pad`, `unk`, `bos`, `eos`, `mask`. Each is told from the files beside
    tokenizer.json, else from what the post-processor puts around a text, else by the usual names. `eos` must
    be there; without `pad` or `bos` it takes their part; `unk` and `mask` are None where there is none.
    """

    def __init__(self, backend: Backend, named: Mapping[str, Sequence[str]], path: Path | str) -> None:
        """named: the tokens that the files beside it give a role; path: for errors."""
        backend.no_truncation()
        backend.no_padding()
        self._backend, self._vocab = backend, backend.get_vocab(with_added_tokens=True)
        self._tokens = [token for token, _ in sorted(self._vocab.items(), key=lambda entry: entry[1])]
        word_piece = isinstance(backend.model, models.WordPiece)
        self._continuation = backend.model.continuing_subword_prefix if word_piece else None
        # CLIP's file has a decoder that leaves the marks at the ends of words.
        self._end_of_word = getattr(backend.model, "end_of_word_suffix", None) or ""
        self.frame = self._find_frame(path)
        roles = {role: self._role(role, named.get(role, ())) for role in USUAL_NAMES}
        eos = roles["eos"]
        if eos is None:
            names = ", ".join(USUAL_NAMES["eos"])
            raise tokenizer_files.bad(path, f"no token ends a text: neither eos_token nor {names}")
        self.eos: int = eos
        self.pad = eos if roles["pad"] is None else roles["pad"]
        self.bos = eos if roles["bos"] is None else roles["bos"]
        self.unk, self.mask = roles["unk"], roles["mask"]
        self.template_ids = {token: self._vocab[token] for token in TEMPLATE_TOKENS if token in self._vocab}
        added = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
        control = added | {self.bos, self.eos, *self.frame.before, *self.frame.after, *_given(self.mask)}
        self._special = frozenset(control | {self.pad, *_given(self.unk), *self.template_ids.values()})
        # An unknown word is no forgery, unless the token that stands for it has another role, too.
        unknown = set(_given(self.unk)) - {self.pad, self.bos, self.eos, *_given(self.mask)}
        self._control = frozenset(control - unknown - set(self.template_ids.values()))

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(self._vocab)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no part of any text."""
        return self._special

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
        backend = _word_piece({token: i for i, token in enumerate(reserved)})
        trainer = trainers.WordPieceTrainer(
            vocab_size=max(vocab_size, len(pieces)),
            min_frequency=min_frequency,
            special_tokens=pieces,
            limit_alphabet=len(kept),
            show_progress=False,
        )
        corpus = (line.translate(keep) for line, times in sorted(lines.items()) for _ in range(times))
        backend.train_from_iterator(corpus, trainer)
        return cls(_word_piece(backend.get_vocab()), {}, "the trained tokenizer")

    @classmethod
    def load(cls, path: Path | str) -> "Tokenizer":
        """Read a tokenizer.json, and the roles of its tokens from the files beside it.

        Raises ValueError for a file that is none, for ids that are not 0, 1, 2, ... (they are rows of an
        embedding), and where no token ends a text.
        """
        path = Path(path)
        data = tokenizer_files.read(path)
        vocab = tokenizer_files.vocabulary(path, data)
        try:
            backend = Backend.from_buffer(path.read_bytes())
        except BaseException as error:  # the library raises nothing narrower, and its panics are no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise tokenizer_files.bad(path, f"the library `tokenizers` cannot read it ({error})") from error
        if backend.get_vocab(with_added_tokens=True) != vocab:
            raise tokenizer_files.bad(path, "its model and its added tokens contradict each other")
        return cls(backend, tokenizer_files.named_roles(path.parent), path)

    def save(self, path: Path | str) -> None:
        """Write one tokenizer.json: the same bytes for the same tokenizer, readable by `tokenizers` too. What
        only the files beside a pretrained one say, `tokenizer_files.copy` keeps."""
        data = json.loads(self._backend.to_str())
        learned = data["model"]["vocab"]
        if isinstance(learned, dict):  # a list has an order
            data["model"]["vocab"] = {token: learned[token] for token in self._tokens if token in learned}
        text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        Path(path).write_text(text, encoding="utf-8", newline="\n")

    def encode(self, text: str, max_tokens: int, special: bool = True) -> list[int]:
        """The text in its frame, as [CLS] pieces [SEP], cut to `max_tokens` in all; `special=False` leaves
        the frame out. A text of no token that nothing frames is the end alone: towers read at least one."""
        ids = self._allowed(self._backend.encode(text, add_special_tokens=False).ids)
        return self._framed(ids, max_tokens) if special else ids[:max_tokens]

    def encode_answer(self, text: str, max_tokens: int) -> list[int]:
        """What a decoder learns to write: bos, pieces, eos, whatever the frame is; cut to `max_tokens` in
        all."""
        _at_least(2, max_tokens)
        return [self.bos, *self.encode(text, max_tokens - 2, special=False), self.eos]

    def encode_second(self, text: str, max_tokens: int) -> list[int]:
        """A text that follows another: of its frame only the end is kept, as in BERT's pairs."""
        after = self.frame.after
        return [*self.encode(text, max(max_tokens - len(after), 0), special=False), *after][:max_tokens]

    def encode_masked(self, before: str, after: str) -> tuple[list[int], int]:
        """A whole text with one masked word between two parts, in its frame, and the mask's position. Raises
        ValueError where the tokenizer has no mask token, and where a part spells it."""
        if self.mask is None:
            raise ValueError("this text tower's tokenizer has no mask token: it never filled in a word")
        name = self._tokens[self.mask]
        ids = self._backend.encode(before + name + after, add_special_tokens=False).ids
        if ids.count(self.mask) != 1:
            raise ValueError(f"the text itself holds {name}, the mask token; leave it out")
        ids = [*self.frame.before, *self._allowed(ids, self.mask), *self.frame.after]
        return ids, ids.index(self.mask)

    def batch(
        self, texts: Sequence[str], max_tokens: int, pad_to: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(ids_BT int64, mask_BT bool, True = token), padded to `pad_to` or to the longest text."""
        encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return self._padded([self._framed(self._allowed(each.ids), max_tokens) for each in encodings], pad_to)

    def batch_answers(self, texts: Sequence[str], max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """(ids_BT, mask_BT) of `encode_answer`, padded to the longest answer."""
        return self._padded([self.encode_answer(text, max_tokens) for text in texts], None)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, special tokens left out."""
        return self._text([i for i in map(int, ids) if i not in self._special]).strip()

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The token behind each id, special ones too."""
        return [self._tokens[int(i)] for i in ids]

    def words(self, ids: Iterable[int]) -> list[tuple[str, list[int]]]:
        """Whole words with the positions of their pieces in `ids`; special tokens belong to no word."""
        ids, words, run = list(map(int, ids)), list[list[int]](), list[int]()
        for position, i in enumerate(ids):
            if i in self._special:
                run = []
                continue
            if run and not self._begins_word(run, i):
                words[-1].append(position)
            else:
                words.append([position])
            run.append(i)
        spelled = [(self._spelled([ids[at] for at in positions]), positions) for positions in words]
        return [(word, positions) for word, positions in spelled if word]

    def _begins_word(self, run: list[int], i: int) -> bool:
        """Whether the piece `i` begins a word after the pieces `run`: after a space, unless that is all of
        the piece before, and where letters and other signs meet."""
        if self._continuation is not None:
            return not self._tokens[i].startswith(self._continuation)
        before = self._text(run)
        new = self._text([*run, i])[len(before) :]
        if not before or not new:
            return False
        if new[0].isspace():
            return True
        if before[-1].isspace():
            return bool(self._text(run[-1:]).strip())
        return REPLACEMENT not in (before[-1], new[0]) and before[-1].isalnum() != new[0].isalnum()

    def _text(self, ids: list[int]) -> str:
        text = self._backend.decode(ids)
        return text.replace(self._end_of_word, " ") if self._end_of_word else text

    def _spelled(self, ids: list[int]) -> str:
        if self._continuation is None:
            return self.decode(ids)
        first, *rest = self.pieces(ids)
        return first + "".join(piece.removeprefix(self._continuation) for piece in rest)

    def _allowed(self, ids: list[int], kept: int | None = None) -> list[int]:
        """Without the control tokens that a text spells, but `kept`."""
        return [i for i in ids if i not in self._control or i == kept]

    def _framed(self, ids: list[int], max_tokens: int) -> list[int]:
        before, after = self.frame
        room = max_tokens - len(before) - len(after)
        _at_least(max(len(before) + len(after), 1), max_tokens)
        return [*before, *ids[:room], *after] or [self.eos]

    def _padded(self, rows: list[list[int]], pad_to: int | None) -> tuple[np.ndarray, np.ndarray]:
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

    def _find_frame(self, path: Path | str) -> Frame:
        """What the post-processor puts around a text. A WordPiece file without one is framed as BERT's are:
        so are those that are trained here."""
        encodings = [self._backend.encode(probe) for probe in PROBES]
        encoding = next((each for each in encodings if 0 in each.special_tokens_mask), encodings[0])
        real = [at for at, added in enumerate(encoding.special_tokens_mask) if not added]
        frame = Frame(encoding.ids[: real[0]], encoding.ids[real[-1] + 1 :]) if real else Frame([], [])
        if self._backend.post_processor is None and self._continuation is not None:
            first, last = (self._vocab.get(token) for token in ("[CLS]", "[SEP]"))
            frame = Frame([*_given(first)], [*_given(last)])
        if any(i >= len(self._tokens) for part in frame for i in part):
            raise tokenizer_files.bad(path, "its post-processor puts ids around a text that it does not have")
        return frame

    def _role(self, role: str, named: Sequence[str]) -> int | None:
        framed = {"bos": self.frame.before[:1], "eos": self.frame.after[-1:]}.get(role, [])
        own = [getattr(self._backend.model, "unk_token", None)] if role == "unk" else []
        names = [*named, *self.pieces(framed), *own, *USUAL_NAMES[role]]
        return next((self._vocab[name] for name in names if name in self._vocab), None)


def _given(i: int | None) -> tuple[int, ...]:
    return () if i is None else (i,)


def _at_least(least: int, max_tokens: int) -> None:
    if max_tokens < least:
        raise ValueError(f"tokenizer: max_tokens is {max_tokens}, expected at least {least}")


def _without_specials(text: str) -> str:
    for token in (*BERT_TOKENS, *TEMPLATE_TOKENS):
        text = text.replace(token, " ")
    return text


def _word_piece(vocab: dict[str, int]) -> Backend:
    """The tokenizer that is trained here."""
    backend = Backend(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(**DEFAULT_SWITCHES)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    special = [
        AddedToken(token, normalized=False, special=True) for token in (*BERT_TOKENS, *TEMPLATE_TOKENS)
    ]
    backend.add_special_tokens(special)
    return backend
