"""Balance of the questions: the accuracy of guessing without the picture."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from sightline.evaluate.dataset_report.text_statistics import share

TOP = 12  # answers listed of a type
LIKE = {f"pope_{kind}": "existence" for kind in ("random", "popular", "adversarial")}  # never trained on
Answers = dict[str, Counter[str]]  # question type -> answer -> number


class AnswerPrior:
    """The most frequent answers of train, which need no picture."""

    def __init__(self, triples: Iterable[dict]) -> None:
        self.by_type: Answers = defaultdict(Counter)
        self.by_question: Answers = defaultdict(Counter)
        for triple in triples:
            if triple["type"] != "describe":
                self.by_type[triple["type"]][triple["answer"]] += 1
                self.by_question[triple["question"]][triple["answer"]] += 1

    def of_type(self, kind: str) -> str:
        """The most frequent answer of train to questions of this type; "" if it has none."""
        return most(self.by_type.get(kind) or self.by_type.get(LIKE.get(kind, "")) or Counter())

    def of_question(self, kind: str, question: str) -> str:
        """The most frequent answer of train to this very question, else to its type."""
        return most(self.by_question.get(question) or Counter()) or self.of_type(kind)


def most(answers: Counter[str]) -> str:
    """The most frequent one; of equals the alphabetically first; "" of none."""
    return min(answers, key=lambda answer: (-answers[answer], answer), default="")


def balance(triples: Iterable[dict], prior: AnswerPrior | None) -> dict[str, dict]:
    """Per question type: how many, their answers, and how far guessing gets.

    `majority`: the split's most frequent answer; `entropy_bits` of its answers, and as a share of the
    most that so many different answers allow; `train_answer_share` and `train_question_share`: right with the
    most frequent answer of train to the type, and to the very same question. Descriptions are counted only.
    """
    answers: Answers = defaultdict(Counter)
    right: dict[str, Counter[str]] = {"type": Counter(), "question": Counter()}
    for triple in triples:
        kind = triple["type"]
        answers[kind]["" if kind == "describe" else triple["answer"]] += 1
        if prior and kind != "describe":
            right["type"][kind] += triple["answer"] == prior.of_type(kind)
            right["question"][kind] += triple["answer"] == prior.of_question(kind, triple["question"])
    result: dict[str, dict[str, Any]] = {}
    for kind, counter in sorted(answers.items()):
        n = counter.total()
        result[kind] = {"n": n}
        if kind == "describe":
            continue
        ranked = sorted(counter.items(), key=lambda entry: (-entry[1], entry[0]))
        bits = entropy(counter)
        result[kind] |= {
            "different": len(counter),
            "answers": [list(entry) for entry in ranked[:TOP]],
            "other": sum(number for _, number in ranked[TOP:]),
            "majority": {"answer": ranked[0][0], "share": share(ranked[0][1], n)},
            "entropy_bits": round(bits, 4),
            "entropy_share": round(bits / math.log2(len(counter)), 4) if len(counter) > 1 else 0.0,
        }
        if counter.keys() <= {"yes", "no"}:
            result[kind]["yes_share"] = share(counter["yes"], n)
        if prior:
            result[kind]["train_answer_share"] = share(right["type"][kind], n)
            result[kind]["train_question_share"] = share(right["question"][kind], n)
    return result


def entropy(answers: Counter[str]) -> float:
    """In bits."""
    n = answers.total()
    # 0.0 - x: a single answer has entropy 0.0, not -0.0
    return 0.0 - sum(count / n * math.log2(count / n) for count in answers.values() if count)
