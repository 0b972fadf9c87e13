"""A policy at work: what happens to a question, to an answer and to the results of a search.

The same for every entrance: chat requests, /explain, /search, /similar and the page.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.search.item_index import Hit
from sightline.serve.safety import personal_data, policy
from sightline.serve.safety.policy import CATEGORIES, DECISIONS, REASONS
from sightline.serve.safety.text_folding import words

REFUSED_QUESTION = (
    "This server does not answer questions that ask to judge a person's race, religion, health, sexuality, "
    "politics or honesty, or who someone is."
)
REFUSED_ANSWER = "This server gives no answer here: its policy refuses what the field safety names."
REFUSED_SEARCH = (
    "This server does not search for people by race, religion, health, sexuality, politics, crime or "
    "identity."
)
HIDDEN = "[word]"  # in the place of a blocked word


@dataclass(frozen=True)
class Verdict:
    """A decision, the mildest where nothing was found, and its reasons in the order of the vocabulary."""

    decision: str = "allowed"
    reasons: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        return self.decision == "refused"

    def plus(self, *others: "Verdict") -> "Verdict":
        """All of them together: the strictest decision, every reason once."""
        every = (self, *others)
        reasons = {reason for one in every for reason in one.reasons}
        decision = max((one.decision for one in every), key=DECISIONS.index)
        return Verdict(decision, tuple(reason for reason in REASONS if reason in reasons))

    def body(self) -> dict[str, Any]:
        """The field `safety` of a response."""
        return {"decision": self.decision, "reasons": list(self.reasons)}


ALLOWED = Verdict()
_DECISION = {"refuse": "refused", "mark": "marked", "mask": "masked", "drop": "masked"}


class Screen:
    """The filters of one server. Holds no state between calls."""

    def __init__(self, path: str) -> None:
        """`path`: of a policy. Raises ParamsError."""
        self.policy, self.rules, self.classifier = policy.load(path)
        data = self.policy.personal_data
        self._data = {
            kind: getattr(data, kind) for kind in personal_data.FINDERS if getattr(data, kind) != "allow"
        }

    def categories(self, text: str) -> list[str]:
        """What a text asks about a person by rules or classifier, whatever the policy does about it."""
        found = {*self.by_rules(text), *self.by_classifier(text)}
        return [name for name in CATEGORIES if name in found]

    def by_rules(self, text: str) -> list[str]:
        annotated = self.rules.lexicon.annotated(words(text))
        return [name for name in CATEGORIES if self.rules.categories[name].catches(annotated)]

    def by_classifier(self, text: str) -> list[str]:
        """Nothing where it is off."""
        if self.classifier is None:
            return []
        likely_K = self.classifier.probabilities(self.rules.lexicon.annotated(words(text)))
        threshold = self.policy.classifier.threshold
        return [name for name, likely in zip(CATEGORIES, likely_K, strict=True) if likely > threshold]

    def question(self, text: str) -> Verdict:
        """What happens to a question."""
        found = [(getattr(self.policy.questions, name), f"question_{name}") for name in self.categories(text)]
        return _verdict(found)

    def search(self, text: str) -> Verdict:
        """What happens to a text that is searched with."""
        return self.question(text) if self.policy.questions.searches else ALLOWED

    def answer(self, text: str, evidence: dict[str, Any]) -> tuple[str, Verdict]:
        """(the answer as it may be given, what happened to it). `evidence`: the field `sightline` of it."""
        rules = self.policy.answers
        flags = {
            "answer_unsure": (rules.unsure, evidence["sure"] is False),
            "picture_out_of_domain": (rules.picture_out_of_domain, evidence["out_of_domain"]),
            "question_out_of_domain": (rules.question_out_of_domain, evidence["question_out_of_domain"]),
            "blocked_word": (rules.blocked_word, self.holds_blocked_word(text)),
        }
        found = [(action, reason) for reason, (action, true) in flags.items() if true]
        if rules.blocked_word == "mask":
            text = self._without_blocked(text)
        given, data = self._without_data(text)
        if any(self._data[kind] == "drop" for kind in data):
            found.append(("refuse", f"personal_data_{data[0]}"))
        return given, _verdict([*found, *(("mask", f"personal_data_{kind}") for kind in data)])

    @property
    def holds_back(self) -> bool:
        """Whether an answer may be changed or refused once it is whole, so that none may be sent before."""
        rules = self.policy.answers
        actions = (
            rules.unsure,
            rules.picture_out_of_domain,
            rules.question_out_of_domain,
            rules.blocked_word,
        )
        return bool(self._data) or any(action in ("refuse", "mask") for action in actions)

    def caption(self, text: str) -> tuple[str, Verdict]:
        """(a caption as it may be shown, what happened to it)."""
        found = []
        if self.policy.answers.blocked_word in ("refuse", "mask") and self.holds_blocked_word(text):
            text = self._without_blocked(text)
            found.append(("mask", "blocked_word"))
        text, data = self._without_data(text)
        return text, _verdict([*found, *((self._data[kind], f"personal_data_{kind}") for kind in data)])

    def results(self, hits: Sequence[Hit]) -> tuple[list[Hit], Verdict]:
        """(the results that may be shown, what happened to them)."""
        kept, verdicts = [], []
        for hit in hits:
            text, verdict = self.caption(hit.text)
            verdicts.append(verdict)
            if not any(
                self._data.get(reason.removeprefix("personal_data_")) == "drop" for reason in verdict.reasons
            ):
                kept.append(hit._replace(text=text))
        return kept, ALLOWED.plus(*verdicts)

    def holds_blocked_word(self, text: str) -> bool:
        return self.rules.blocked.catches(self.rules.blocked_lexicon.annotated(words(text)))

    def _without_blocked(self, text: str) -> str:
        parts = " ".join(HIDDEN if self.holds_blocked_word(part) else part for part in text.split(" "))
        return HIDDEN if self.holds_blocked_word(parts) else parts  # one written over several words

    def _without_data(self, text: str) -> tuple[str, list[str]]:
        """(the text with masks, the kinds that it held)."""
        found = personal_data.find(text, self._data)
        return personal_data.masked(text, found), _once(one.kind for one in found)


def _verdict(found: Collection[tuple[str, str]]) -> Verdict:
    """Of (action, reason) pairs, those that are allowed left out."""
    acted = [Verdict(_DECISION[action], (reason,)) for action, reason in found if action != "allow"]
    return ALLOWED.plus(*acted)


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
