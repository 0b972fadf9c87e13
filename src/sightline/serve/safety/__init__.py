"""Filters of questions, answers and captions, by a policy file. On where the setting `safety` names one.

policy.py: the schema of deploy/safety/*.yaml, and the reasons of decisions
text_folding.py: a text as the filters read it: Unicode tricks undone
phrase_rules.py: patterns over words
question_classifier.py: the linear classifier that joins the patterns
personal_data.py: addresses, numbers and accounts in captions and answers
screen.py: the policy at work: what happens to a question, an answer, a result
safety_reference.py: the reference page and the JSON schemas

Not here: what a request may hold (`serve/api_schema.py`), whether an answer is sure
(`inference/confidence.py`), measured errors (`sightline_lab/safety`).
"""
