"""Questions that no data set here teaches: everyday ones on other topics, in other languages, and drawn ones.

They measure how well `inference/question_detector.py` tells them from the data's own.
"""

from collections.abc import Callable
from string import ascii_lowercase

import numpy as np

from sightline.inference.question_detector import words

EVERYDAY = {
    "en": (
        "What is the capital of France?",
        "Who wrote this letter?",
        "When does the next train to London leave?",
        "Why do cats sleep so much?",
        "How much does a litre of milk cost?",
        "Should I take an umbrella tomorrow?",
        "Which medicine helps against a headache?",
        "Can you translate this sentence?",
        "What did the prime minister say yesterday?",
        "How do I reset my password?",
        "Is this film suitable for children?",
        "What is seven times eight?",
    ),
    "de": (
        "Wie heißt die Hauptstadt von Frankreich?",
        "Wer hat diesen Brief geschrieben?",
        "Wann fährt der nächste Zug nach Hamburg?",
        "Warum schlafen Katzen so viel?",
        "Wie viel kostet ein Liter Milch?",
        "Soll ich morgen einen Schirm mitnehmen?",
        "Welches Mittel hilft gegen Kopfschmerzen?",
        "Kannst du diesen Satz übersetzen?",
        "Was sagte der Minister gestern?",
        "Wie setze ich mein Kennwort zurück?",
        "Ist dieser Film für Kinder geeignet?",
        "Was ist sieben mal acht?",
    ),
    "fr": (
        "Quelle est la capitale de l'Italie ?",
        "De quelle couleur est la voiture ?",
        "Combien de personnes y a-t-il ?",
        "Où se trouve le chien ?",
        "Pourquoi le ciel est-il bleu ?",
        "Est-ce que l'arbre est grand ?",
    ),
    "es": (
        "¿Cuál es la capital de Italia?",
        "¿De qué color es el árbol?",
        "¿Cuántas personas hay?",
        "¿Dónde está el perro?",
        "¿Por qué es azul el cielo?",
        "¿Hay una casa grande?",
    ),
    "it": (
        "Qual è la capitale della Francia?",
        "Di che colore è la macchina?",
        "Quante persone ci sono?",
        "Dove si trova il cane?",
        "Perché il cielo è blu?",
        "C'è una casa grande?",
    ),
}
KINDS = ("other topics", "other languages", "shuffled words", "random letters")
DRAWN = 100  # questions of each drawn kind


def draw(kind: str, language: str, own: list[str], rng: np.random.Generator) -> list[str]:
    """The questions of a kind. language: of the data, whose questions are `own`. There may be none."""
    makers: dict[str, Callable[[], list[str]]] = {
        "other topics": lambda: list(EVERYDAY.get(language, ())),
        "other languages": lambda: [
            question for code, questions in EVERYDAY.items() if code != language for question in questions
        ],
        "shuffled words": lambda: _shuffled(own, rng),
        "random letters": lambda: [_letters(rng) for _ in range(DRAWN)],
    }
    return makers[kind]()


def _shuffled(own: list[str], rng: np.random.Generator) -> list[str]:
    """Own questions of three words and more in another order."""
    long = sorted({question for question in own if len(set(words(question))) > 2})
    chosen = [long[index] for index in rng.choice(len(long), min(DRAWN, len(long)), replace=False)]
    shuffled = []
    for question in chosen:
        read = words(question)
        order = rng.permutation(len(read))
        while [read[index] for index in order] == read:
            order = rng.permutation(len(read))
        shuffled.append(" ".join(read[index] for index in order))
    return shuffled


def _letters(rng: np.random.Generator) -> str:
    lengths = rng.integers(3, 9, rng.integers(2, 7))
    return " ".join("".join(rng.choice(list(ascii_lowercase), length)) for length in lengths)
