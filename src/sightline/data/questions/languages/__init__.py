"""Languages in which the lexicon `corpus` finds things and asks. The folder is the registry:
`convert.language: <code>` is the file here, which defines `LANGUAGE`, a `Language` of
`data/questions/language.py`.

en.py: English
de.py: German

Not here: the rules that use these words (`data/questions/noun_phrases.py`,
`data/questions/corpus_questions.py`).
"""
