"""Question types by what is read off their answers."""

AUXILIARY = ("position", "left_of")  # trained on, never evaluated
SHORT_TOKENS = 8  # the longest answer to a short question; right ones are one to three words
POPE_TYPES = ("pope_random", "pope_popular", "pope_adversarial")
ANNOTATED_TYPES = ("yes/no", "number", "other", *POPE_TYPES)  # of questions that come with the data


def is_short(kind: str) -> bool:
    """Whether a type's answers count as short ones: descriptions are long, and POPE's many existence
    questions repeat others and would hide what the remaining types lose."""
    return kind != "describe" and not kind.startswith("pope_")
