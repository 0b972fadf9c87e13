"""Which figure of a validation split decides, so that none is chosen by that has no data behind it."""

ENOUGH = 100  # questions: the standard error of an accuracy is then at most 50 / sqrt(100) = 5 points
ENOUGH_OF_A_TYPE = 10  # of one type, in a mean over types: its own standard error is then at most 16 points
ACCURACY = "accuracy"  # percent of short answers that are right
TOKEN_LIKELIHOOD = "token_likelihood"  # percent: 100 / perplexity of the true answers


def deciding_figure(short_questions: int) -> str:
    """What checkpoints and variants are chosen by: the accuracy of short answers, or, with fewer than ENOUGH
    short questions, how likely a token of the true answers is to the model, which every description tells."""
    return ACCURACY if short_questions >= ENOUGH else TOKEN_LIKELIHOOD
