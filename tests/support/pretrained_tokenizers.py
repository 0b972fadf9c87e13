"""Tokenizers built as those of published models are, over a few lines of text: each is saved by transformers,
in the layout that its checkpoints have."""

import json
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from tests.support import tiny

TEXTS = [
    *tiny.CAPTIONS,
    *tiny.QUESTIONS,
    "USER: <image> ASSISTANT: yes no",
    "don't, it's the boys' café: 3.50 €!",
]
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def bert(folder: Path) -> Path:
    """WordPiece: [CLS] text [SEP]."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=names, show_progress=False)
    )
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return _saved(backend, folder, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                  mask_token="[MASK]")  # fmt: skip


def gpt2(folder: Path) -> Path:
    """Byte-level BPE without a frame, whose only special token is the end."""
    backend = _byte_level(["<|endoftext|>"])
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    end = "<|endoftext|>"
    return _saved(backend, folder, bos_token=end, eos_token=end, unk_token=end)


def roberta(folder: Path) -> Path:
    """Byte-level BPE: <s> text </s>, and a mask that takes the space before it."""
    backend = _byte_level(["<s>", "<pad>", "</s>", "<unk>"])
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    mask = AddedToken("<mask>", lstrip=True, special=True)
    return _saved(backend, folder, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
                  mask_token=mask)  # fmt: skip


def clip(folder: Path) -> Path:
    """Lower-case BPE with </w> at the end of a word, every byte in both forms; the end pads, too."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    learned = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    _clip_rules(learned)
    learned.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=1000, initial_alphabet=letters, end_of_word_suffix="</w>",
                                   show_progress=False)
    )  # fmt: skip
    merges = [tuple(pair) for pair in _model(learned)["merges"]]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    vocab = {token: i for i, token in enumerate([*dict.fromkeys(tokens), start, end])}
    backend = Tokenizer(models.BPE(vocab, merges, unk_token=end, end_of_word_suffix="</w>"))
    _clip_rules(backend)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(start, normalized=True, special=True), end])
    backend.post_processor = processors.RobertaProcessing(
        (end, vocab[end]), (start, vocab[start]), trim_offsets=False, add_prefix_space=False
    )
    return _saved(backend, folder, bos_token=start, eos_token=end, unk_token=end, pad_token=end)


def xlm_roberta(folder: Path) -> Path:
    """Unigram, as E5's: <s> text </s>."""
    backend = _unigram(["<s>", "<pad>", "</s>", "<unk>"])
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return _saved(backend, folder, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
                  mask_token="<mask>")  # fmt: skip


def siglip(folder: Path) -> Path:
    """Unigram with an end only, which pads, too."""
    backend = _unigram(["<pad>", "</s>", "<unk>"])
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return _saved(backend, folder, eos_token="</s>", pad_token="</s>", unk_token="<unk>")


FAMILIES = {"bert": bert, "gpt2": gpt2, "roberta": roberta, "clip": clip, "xlm_roberta": xlm_roberta,
            "siglip": siglip}  # fmt: skip


def _byte_level(names: list[str]) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=names, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def _unigram(names: list[str]) -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=names, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def _clip_rules(backend: Tokenizer) -> None:
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    split = pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def _model(backend: Tokenizer) -> dict:
    return json.loads(backend.to_str())["model"]


def _saved(backend: Tokenizer, folder: Path, **roles: str | AddedToken) -> Path:
    """The folder's tokenizer.json; truncation and padding are set in it, as in files of sentence encoders."""
    backend.enable_truncation(4)
    pad = str(roles.get("pad_token") or roles["eos_token"])
    backend.enable_padding(length=128, pad_token=pad, pad_id=backend.token_to_id(pad))
    PreTrainedTokenizerFast(tokenizer_object=backend, **roles).save_pretrained(folder)
    return folder / "tokenizer.json"
