"""Measured errors of the safety filters (`sightline/serve/safety`): what they catch, miss and refuse wrongly.

question_sets.py: labelled questions from lab/safety
caption_sets.py: captions with and without personal data and blocked words
training.py: the classifier of questions, trained
measure.py: the figures, with intervals
safety_page.py: docs/reports/safety.md

Not here: the filters (`sightline/serve/safety`), attacks on the model (`sightline_lab/faults`).
"""
