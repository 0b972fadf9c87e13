"""Auditing any vision-language model: what it invents, how consistent it is, whether it looks, and what its
confidence is worth. Torch only in `transformers_answerer.py` and `open_model.py`, which are imported when
called.

run_audit.py: the entry point: items, answers, figures, the files of the folder
audit_items.py: pictures and questions with their truth, and what is asked of a model
scene_items.py: questions about rendered scenes, whose truth is exact
source_items.py: questions about a user's data, by the sources of `data`; CHAIR's word lists
probes.py: the same questions in other words, under other prompts, about an empty picture
answer_reading.py: the rules by which an answer in free words is read
answer_file.py: every answer, kept as it comes, so that a killed audit goes on
answerer.py: what an audited model must do
bundle_answerer.py: a bundle of Sightline
endpoint_answerer.py: a chat endpoint of OpenAI's form
endpoint_connection.py: one request to it: retries, waits, deadlines
transformers_answerer.py: an image-text-to-text model of transformers
audit_figures.py: from answers to figures with intervals
audit_verdicts.py: a sentence for each part of the report
audit_report.py: the schema of audit.json
audit_page.py: the page and the section of a model card
white_box.py: interventions at decoding time, attention, maps of a model that lies open
open_model.py: opens a bundle or a model of transformers for it
white_box_page.py: its page
published_answers.py: POPE and CHAIR of answer files in the papers' formats
audit_difference.py: two audits on the same questions

Not here: the metrics and the bootstrap (`evaluate`), how scenes are drawn (`data/scenes`), the evaluation of
the model that a build makes (`evaluate/evaluation.py`).
"""
