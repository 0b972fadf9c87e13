"""Open questions about a photo, generated from its captions: colour, count, relation, what, who, where.

A rule applies only where the captions that mention the fact agree. Each function takes an image's parsed
captions and returns triples without item and image; `span` is the characters of caption `source` on which
the answer rests.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from sightline.data.questions.caption_consensus import (
    all_mentions,
    one_person,
    person_of,
    single,
    split_group,
    undisputed,
)
from sightline.data.questions.object_lexicon import OBJECT_CLASSES, POPE, RELATIVES
from sightline.data.questions.object_mentions import Caption, Mention, words_of
from sightline.data.questions.word_lists import (
    ACTION_FORMS,
    DETERMINERS,
    FOLLOWERS,
    LOCATION_FORMS,
    LOCATIONS,
    PREPOSITIONS,
    TRANSITIVE_FORMS,
)

UNCOLORED = frozenset(
    "grass snow water sand dirt tree mountain hair person man woman child boy girl toy pants shorts".split()
)
MORE = frozenset(
    "other others another more several many group crowd pack herd flock some both each few lots".split()
)
ONES = 0.05
AUXILIARIES = frozenset(("is", "are"))


def open_questions(captions: Sequence[Caption], rng: np.random.Generator) -> list[dict]:
    """All triples that the rules of this module give; of the many "1" counts only a share ONES is kept."""
    rules = (colors, counts, relations, subject_actions, action_objects, actors, locations)
    triples = [triple for rule in rules for triple in rule(captions)]
    return triples + [triple for triple in ones(captions) if rng.random() < ONES]


def colors(captions: Sequence[Caption]) -> list[dict]:
    """What color is the dog? From "a brown dog": one object of the class, one colour in all captions."""
    by_name: dict[str, list[tuple[int, Mention]]] = {}
    for index, mention in all_mentions(captions):
        by_name.setdefault(mention.name, []).append((index, mention))
    triples = []
    for name, mentions in sorted(by_name.items()):
        values = {mention.color for _, mention in mentions if mention.color}
        evidence = [(index, m) for index, m in mentions if m.color and m.head and m.real]
        if len(values) != 1 or not evidence or name in UNCOLORED or not single(captions, name):
            continue
        if not undisputed(captions, name):
            continue
        if OBJECT_CLASSES[name].kind == "clothes" and not one_person(captions):
            continue
        index, mention = evidence[0]
        span = captions[index].span(mention.first, mention.end)
        question = f"What color is the {name}?"
        triples.append(
            _triple("color", "color_before_noun", question, mention.color, index, span, object=name)
        )
    return triples


def counts(captions: Sequence[Caption]) -> list[dict]:
    """How many dogs are there? From "two dogs" in two captions, and no caption with another number."""
    triples = []
    need = min(2, len(captions))
    words = words_of(captions)
    for name in sorted({mention.name for _, mention in all_mentions(captions) if mention.number > 1}):
        object_class = OBJECT_CLASSES[name]
        named = [(i, m) for i, m in all_mentions(captions) if m.name == name]
        numbered = [(i, m) for i, m in named if m.number > 1 and m.plural and m.head and m.real]
        related = [m for _, m in all_mentions(captions) if m.name in RELATIVES[name] and m.number > 1]
        if (
            object_class.mass
            or object_class.kind in ("clothes", "ground")
            or MORE & words
            or len(numbered) < need
        ):
            continue
        if len({m.number for m in related} | {m.number for _, m in named if m.number > 1}) != 1:
            continue
        if any(m.plural and not m.number for _, m in named) or split_group(captions, name):
            continue
        index, mention = numbered[0]
        span = captions[index].span(mention.first, mention.end)
        question = f"How many {' '.join(object_class.plurals[0])} are there?"
        triples.append(
            _triple("count", "number_before_plural", question, str(mention.number), index, span, object=name)
        )
    return triples


def ones(captions: Sequence[Caption]) -> list[dict]:
    """How many dogs are there? 1, from "a dog" in three captions or all, and no sign of a second."""
    triples = []
    by_name: dict[str, list[tuple[int, Mention]]] = {}
    for index, mention in all_mentions(captions):
        if _actor(mention):
            by_name.setdefault(mention.name, []).append((index, mention))
    for name, mentions in sorted(by_name.items()):
        if len(mentions) < min(3, len(captions)) or not single(captions, name):
            continue
        if OBJECT_CLASSES[name].kind == "person" and not one_person(captions):
            continue
        index, mention = mentions[0]
        span = captions[index].span(mention.first, mention.end)
        question = f"How many {' '.join(OBJECT_CLASSES[name].plurals[0])} are there?"
        triples.append(_triple("count", "singular_throughout", question, "1", index, span, object=name))
    return triples


def relations(captions: Sequence[Caption]) -> list[dict]:
    """Where is the boy relative to the bench? From "a boy sits on a bench", if the captions agree."""
    by_pair: dict[tuple[str, str], list[tuple[str, int, list[int]]]] = {}
    for index, caption in enumerate(captions):
        for former, latter in pairwise(caption.mentions):
            answer = _relation(caption.tokens[former.end : latter.first])
            plain = _plain(former) and _plain(latter)
            if answer and plain and not former.plural and not latter.plural:
                span = caption.span(former.first, latter.end)
                by_pair.setdefault((former.name, latter.name), []).append((answer, index, span))
    triples = []
    for (name, other), answers in sorted(by_pair.items()):
        if (
            len({answer for answer, _, _ in answers}) != 1
            or other in RELATIVES[name]
            or OBJECT_CLASSES[other].kind == "clothes"
        ):
            continue
        if OBJECT_CLASSES[name].kind not in POPE or not single(captions, name) or not single(captions, other):
            continue
        if not undisputed(captions, name) or not undisputed(captions, other):
            continue
        answer, index, span = answers[0]
        question = f"Where is the {name} relative to the {other}?"
        triples.append(
            _triple("relation", "preposition", question, answer, index, span, object=name, other=other)
        )
    return triples


def subject_actions(captions: Sequence[Caption]) -> list[dict]:
    """What is the dog doing? From "the dog runs", "a dog is running"; `accepted` lists all of them."""
    by_name: dict[str, list[tuple[str, int, list[int]]]] = {}
    for index, caption in enumerate(captions):
        for mention in caption.mentions:
            verb = _verb_at(caption, mention)
            if _actor(mention) and verb < len(caption.tokens) and caption.tokens[verb] in ACTION_FORMS:
                answer = ACTION_FORMS[caption.tokens[verb]]
                by_name.setdefault(mention.name, []).append(
                    (answer, index, caption.span(mention.first, verb + 1))
                )
    triples = []
    for name, answers in sorted(by_name.items()):
        if not single(captions, name) or not undisputed(captions, name):
            continue
        actions = [answer for answer, _, _ in answers]
        answer, index, span = max(answers, key=lambda entry: actions.count(entry[0]))
        question = f"What is the {name} doing?"
        triples.append(
            _triple(
                "what", "doing", question, answer, index, span, object=name, accepted=sorted(set(actions))
            )
        )
    return triples


def action_objects(captions: Sequence[Caption]) -> list[dict]:
    """What is the boy throwing? From "a boy throws a red ball"."""
    by_action: dict[tuple[str, str], list[tuple[str, int, list[int]]]] = {}
    for index, caption in enumerate(captions):
        for a, b in pairwise(caption.mentions):
            verb = _verb_at(caption, a)
            if not _actor(a) or verb + 1 != b.first or not _plain(b) or OBJECT_CLASSES[b.name].mass:
                continue
            if caption.tokens[verb] not in TRANSITIVE_FORMS:
                continue
            answer = " ".join(
                (OBJECT_CLASSES[b.name].plurals if b.plural else OBJECT_CLASSES[b.name].singulars)[0]
            )
            key = (a.name, TRANSITIVE_FORMS[caption.tokens[verb]])
            by_action.setdefault(key, []).append((answer, index, caption.span(a.first, b.end)))
    triples = []
    for (name, action), answers in sorted(by_action.items()):
        objects = {answer for answer, _, _ in answers}
        if not single(captions, name) or not undisputed(captions, name) or len(objects) != 1:
            continue
        answer, index, span = answers[0]
        triples.append(
            _triple("what", "deed", f"What is the {name} {action}?", answer, index, span, object=name)
        )
    return triples


def actors(captions: Sequence[Caption]) -> list[dict]:
    """Who is riding the bike? From "a girl is riding a bike", if the captions name one person only."""
    if not one_person(captions):
        return []
    triples: dict[str, dict] = {}
    for index, caption in enumerate(captions):
        for a, b in pairwise(caption.mentions):
            verb = _verb_at(caption, a)
            if not _actor(a) or OBJECT_CLASSES[a.name].kind != "person" or not _plain(b) or b.plural:
                continue
            if verb >= b.first or OBJECT_CLASSES[b.name].kind == "clothes":
                continue
            between = caption.tokens[verb + 1 : b.first]
            if caption.tokens[verb] in TRANSITIVE_FORMS and not between:
                phrase = f"{TRANSITIVE_FORMS[caption.tokens[verb]]} the {b.name}"
            elif caption.tokens[verb] in ACTION_FORMS and between in PREPOSITIONS:
                phrase = f"{ACTION_FORMS[caption.tokens[verb]]} {' '.join(between)} the {b.name}"
            else:
                continue
            span = caption.span(a.first, b.end)
            question = f"Who is {phrase}?"
            triples.setdefault(question, _triple("who", "actor", question, person_of(captions), index, span))
    return [triples[question] for question in sorted(triples)]


def locations(captions: Sequence[Caption]) -> list[dict]:
    """Where is the dog? From a caption with one person or animal that ends in a location ("in the snow")."""
    by_name: dict[str, list[tuple[str, int, list[int]]]] = {}
    for index, caption in enumerate(captions):
        alive = [m for m in caption.mentions if OBJECT_CLASSES[m.name].kind in ("person", "animal")]
        location = _last_location(caption)
        if len(alive) != 1 or not _actor(alive[0]) or not location or location[0] < alive[0].end:
            continue
        if {"with", ","} & set(caption.tokens[alive[0].end : location[0]]):
            continue
        start, end, answer = location
        by_name.setdefault(alive[0].name, []).append((answer, index, caption.span(start, end)))
    triples = []
    for name, answers in sorted(by_name.items()):
        if not single(captions, name) or not undisputed(captions, name):
            continue
        phrases = [answer for answer, _, _ in answers]
        answer, index, span = max(answers, key=lambda entry: phrases.count(entry[0]))
        triples.append(
            _triple(
                "where", "last_place", f"Where is the {name}?", answer, index, span, object=name,
                accepted=sorted(set(phrases)),
            )
        )  # fmt: skip
    return triples


def _triple(
    type_: str, rule: str, question: str, answer: str, source: int, span: list[int], **more: object
) -> dict:
    return {
        "type": type_, "rule": rule, "question": question, "answer": answer, "source": source, "span": span,
        **more,
    }  # fmt: skip


def _plain(mention: Mention) -> bool:
    return mention.head and mention.real and not mention.owner


def _actor(mention: Mention) -> bool:
    living = OBJECT_CLASSES[mention.name].kind in ("person", "animal")
    return living and mention.head and mention.real and not mention.plural


def _verb_at(caption: Caption, mention: Mention) -> int:
    """Token after the noun and an auxiliary ("is", "who is", "that is")."""
    position = mention.end
    if caption.tokens[position : position + 1] in (("who",), ("that",), ("which",)):
        position += 1
    if position < len(caption.tokens) and caption.tokens[position] in AUXILIARIES:
        position += 1
    return position


def _relation(between: tuple[str, ...]) -> str:
    if between and between[0] in AUXILIARIES:
        between = between[1:]
    if between and between[0] in LOCATION_FORMS:
        between = between[1:]
    return PREPOSITIONS.get(between, "")


def _last_location(caption: Caption) -> tuple[int, int, str] | None:
    """(start, end, "in the snow") if the caption ends in a preposition and a location."""
    tokens = caption.tokens
    end = len(tokens)
    while end and not tokens[end - 1][0].isalnum():
        end -= 1
    if end < 3 or tokens[end - 1] not in LOCATIONS:
        return None
    for start in range(end - 2, max(end - 6, 0), -1):
        if tokens[start] in ("in", "on", "at"):
            inner = tokens[start + 1 : end - 1]
            if any(word in FOLLOWERS - DETERMINERS - {"the", "a", "an"} for word in inner):
                return None
            return start, end, f"{tokens[start]} the {tokens[end - 1]}"
    return None
