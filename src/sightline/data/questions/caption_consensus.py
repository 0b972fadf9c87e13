"""Agreement of an image's captions: on the count of an object class, and on the person in the picture."""

from collections.abc import Sequence

from sightline.data.questions.object_lexicon import OBJECT_CLASSES, RELATIVES, ancestors
from sightline.data.questions.object_mentions import Caption, Mention
from sightline.data.questions.word_lists import NUMBERS

MANY = frozenset(
    """audience fans band group crowd team family couple pair several many others other another people both
    each""".split()
)


def all_mentions(captions: Sequence[Caption]) -> list[tuple[int, Mention]]:
    """All mentions with the number of their caption."""
    return [(index, mention) for index, caption in enumerate(captions) for mention in caption.mentions]


def single(captions: Sequence[Caption], name: str) -> bool:
    """True if nothing suggests a second object: no plural, no number, named at most once in each caption."""
    for caption in captions:
        related = [mention for mention in caption.mentions if mention.name in RELATIVES[name]]
        if any((m.plural and not OBJECT_CLASSES[m.name].mass) or m.number > 1 for m in related):
            return False
        if len([m for m in related if m.name == name]) > 1:
            return False
        if any({"another", "other", "one"} & set(caption.tokens[m.first : m.start]) for m in related):
            return False
        if OBJECT_CLASSES[name].kind in ("person", "animal") and (MANY | set(NUMBERS)) & set(caption.tokens):
            return False
    return True


def undisputed(captions: Sequence[Caption], name: str) -> bool:
    """True unless a caption names only other people (or animals): "a man" here, "a boy" there."""
    kind = OBJECT_CLASSES[name].kind
    if kind not in ("person", "animal"):
        return True
    for caption in captions:
        names = {m.name for m in caption.mentions if OBJECT_CLASSES[m.name].kind == kind}
        if names and not names & RELATIVES[name]:
            return False
    return True


def one_person(captions: Sequence[Caption]) -> bool:
    """True if all captions name one person and do not contradict each other about that person."""
    people = {m.name for _, m in all_mentions(captions) if OBJECT_CLASSES[m.name].kind == "person"}
    if not people or any(not single(captions, name) for name in people):
        return False
    if any(len([m for m in c.mentions if OBJECT_CLASSES[m.name].kind == "person"]) > 1 for c in captions):
        return False
    return all(a == b or a in ancestors(b) or b in ancestors(a) for a in people for b in people)


def person_of(captions: Sequence[Caption]) -> str:
    """The most exact word that the captions have for their one person."""
    people = {m.name for _, m in all_mentions(captions) if OBJECT_CLASSES[m.name].kind == "person"}
    return max(sorted(people), key=lambda name: len(ancestors(name)))


def split_group(captions: Sequence[Caption], name: str) -> bool:
    """True if "two boys" meets "a girl" or "two girls": the count of boys is then not certain."""
    related = RELATIVES[name]
    kind = OBJECT_CLASSES[name].kind
    if kind != "person":
        return False
    return any(
        OBJECT_CLASSES[m.name].kind == kind and m.name not in related for _, m in all_mentions(captions)
    )
