"""`sightline dataset-report`: the contents of a table or of the built data, before anything is trained.

write_report.py: the entry point
analysed_corpus.py: the items and questions that are analysed
corpus_statistics.py: every figure as one dict
text_statistics.py: caption lengths, vocabulary
object_statistics.py: object frequencies and co-occurrence
question_statistics.py: answer balance and guessing
dataset_figures.py: charts
dataset_page.py: the HTML page
dataset_card.py: the summary and the Markdown card

Not here: how questions are made (`data/questions`), how a model scores (`evaluate`).
"""
