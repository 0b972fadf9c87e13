"""Names and labels of /metrics that its writer (prometheus.py) and its reader (metrics_reader.py) share."""

WINDOW = 256  # of the last scores, pictures or answers that a gauge is over
SIGNALS = ("picture", "question", "confidence", "object_word")  # scores that the bundle judges by
KINDS = ("yes_no", "number", "other", "description")  # of answers; the first three as VQA v2 calls them
SURE = {True: "sure", False: "not_sure", None: "not_judged"}
OUTCOMES = ("admitted", "full", "bytes", "stopping")
