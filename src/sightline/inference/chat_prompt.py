"""The prompt of a vision-language model of transformers, by its own chat template: where the picture and the
question stand in it. Typed, so that a bundle can carry it in generation.json; no torch, no transformers.

A prompt is [before ; picture ; between ; question's words ; after]. The question is tokenized with the words
that stand around it (`left`, `right`), as a tokenizer may join their signs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.core.params.checks import Settings
from sightline.data.tokenizer import Tokenizer

QUESTIONS = ("What is in the picture?", "Is there a dog, or not?", "How many", "Yes?", "Describe it: 3 cups.")


class ChatPrompt(Settings):
    """`before`, `between`, `after`: token numbers; `start`: the prompt's last token, which the decoder is fed
    first; `end`: the token that ends an answer."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    left: str
    right: str
    after: tuple[int, ...]
    start: int
    end: int

    @property
    def fixed(self) -> int:
        """Tokens of a prompt beside the picture's and the words'."""
        return len(self.before) + len(self.between) + len(self.after)

    def encode(self, tokenizer: Tokenizer, question: str, length: int) -> list[int]:
        """The prompt without the picture's tokens and without `start`. A longer one than `length` loses the
        last words of the question. Control tokens that the question spells are left out."""
        words = tokenizer.encode(f"{self.left}{question}{self.right}", _LONGEST, special=False)
        over = self.fixed + len(words) - 1 - length
        if over > 0:
            kept = len(tokenizer.encode(self.right, _LONGEST, special=False)) if self.right else 0
            end = len(words) - kept
            words = [*words[: max(end - over, 0)], *words[end:]]
        return [*self.before, *self.between, *words, *self.after][:-1]

    def batch(
        self, tokenizer: Tokenizer, questions: Sequence[str], length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(ids_NS int64, mask_NS bool), all of `length` tokens. Raises ValueError where not even the prompt
        of an empty question fits."""
        ids_NS = np.full((len(questions), length), tokenizer.pad, dtype=np.int64)
        mask_NS = np.zeros((len(questions), length), dtype=bool)
        for row, question in enumerate(questions):
            ids = self.encode(tokenizer, question, length)
            if len(ids) > length:
                raise ValueError(f"the prompt takes {len(ids)} tokens without a question, expected {length}")
            ids_NS[row, : len(ids)], mask_NS[row, : len(ids)] = ids, True
        return ids_NS, mask_NS


_LONGEST = 2**20  # tokens; nothing is cut


def templated(processor: Any, question: str) -> str:
    """The prompt of a question about one picture as `processor` of transformers takes it: by the chat
    template of the model; without one the picture's token before the question."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
    token = getattr(processor, "image_token", None)
    return f"{token}\n{question}" if token else question


def read(
    processor: Any, tokenizer: Tokenizer, picture: Any, image_token: int, end: int
) -> tuple["ChatPrompt", int]:
    """(the prompt of a model, how many tokens a picture takes in it), read from what its processor makes of
    questions about `picture` (PIL). image_token: number of the token that stands for a part of a picture.

    Raises ValueError for a prompt of another form: several blocks of a picture, words that cannot be told
    apart, another tokenization.
    """

    def ids_of(question: str) -> list[int]:
        made = processor(text=[templated(processor, question)], images=[[picture]], return_tensors="np")
        return [int(number) for number in made["input_ids"][0]]

    ids = ids_of(QUESTIONS[0])
    places = [place for place, number in enumerate(ids) if number == image_token]
    if not places or places != list(range(places[0], places[-1] + 1)):
        raise ValueError(
            f"its prompt holds {len(places)} tokens of the picture, expected one block of them: models that "
            "cut a picture into tiles with words between them are not converted"
        )
    before, rest = ids[: places[0]], ids[places[-1] + 1 :]
    left, right = _around(processor, tokenizer)
    words = tokenizer.encode(f"{left}{QUESTIONS[0]}{right}", _LONGEST, special=False)
    start = next((at for at in range(len(rest)) if rest[at : at + len(words)] == words), None)
    if start is None:
        raise ValueError(
            f"its prompt does not hold the question's words as its tokenizer writes them: {rest}"
        )
    after = rest[start + len(words) :]
    if not right and not after:
        raise ValueError(
            "its prompt ends with the question: save its processor with a chat template that opens the answer"
        )
    prompt = ChatPrompt(
        before=tuple(before), between=tuple(rest[:start]), left=left, right=right, after=tuple(after),
        start=rest[-1], end=end,
    )  # fmt: skip
    for question in QUESTIONS:
        ids = ids_of(question)
        expected = [number for number in ids if number != image_token]
        if [*prompt.encode(tokenizer, question, _LONGEST), prompt.start] != expected:
            raise ValueError(f"the prompt of {question!r} is tokenized otherwise than expected: {expected}")
    return prompt, len(places)


def _around(processor: Any, tokenizer: Tokenizer) -> tuple[str, str]:
    """The words that stand before and after a question, up to the next special token or the end."""
    text = templated(processor, QUESTIONS[0])
    left, _, right = text.partition(QUESTIONS[0])
    for number in sorted(tokenizer.special_ids):
        (name,) = tokenizer.pieces([number])
        left, right = left.rpartition(name)[2], right.partition(name)[0]
    return left, right
