"""Questions that come with an item, as its annotations or its table have them."""

from collections import Counter

from sightline.data.questions.question_types import ANNOTATED_TYPES


def annotated(item: dict) -> list[dict]:
    """A triple for each question of the item that has an answer.

    The answer is the one that most people gave, of equals the first; `answers` has all where there are
    several. The type is the annotation's, or read off the answer.
    """
    triples = []
    for number, asked in enumerate(item.get("questions", ())):
        answers = [" ".join(answer.lower().split()) for answer in asked["answers"] if answer.strip()]
        question = " ".join(asked["question"].split())
        if not answers or not question:
            continue
        answer = Counter(answers).most_common(1)[0][0]
        kind = asked.get("type", "")
        triple = {
            "type": kind if kind in ANNOTATED_TYPES else _type(answer),
            "rule": "annotated",
            "question": question,
            "answer": answer,
            "source": f"question {number}",
        }
        triples.append(triple | ({"answers": answers} if len(answers) > 1 else {}))
    return triples


def _type(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdecimal() else "other"
