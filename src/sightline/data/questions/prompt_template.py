"""The one prompt template of every question, in training and at inference.

The special tokens are part of the vocabulary of a tokenizer trained here; a foreign tokenizer without them
spells them out, which works as well because the same text is used in training and at inference.
"""

TEMPLATE = "USER: <image>\n{question}\nASSISTANT:"
TEMPLATE_TOKENS = ("<image>", "USER:", "ASSISTANT:")
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
DESCRIBE = "Describe the image in detail."


def prompt(question: str) -> str:
    """The question in the template; control tokens in it are removed: a question cannot forge a turn."""
    for token in (*BERT_TOKENS, *TEMPLATE_TOKENS):
        question = question.replace(token, " ")
    return TEMPLATE.format(question=" ".join(question.split()))
