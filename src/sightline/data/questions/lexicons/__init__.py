"""How things are found in captions. The folder is the registry: `convert.lexicon: <name>` is the file here.

A lexicon is a file with `build(language)`, which returns an object of the protocol `Lexicon` in
`data/questions/lexicon.py`.

photos.py: a hand-made list of what photos show, with rules for English captions
corpus.py: the things, attributes and numbers that the training captions themselves name

Not here: word lists and question forms of a language (`data/questions/languages`), questions that come with
the data (`data/questions/annotated_questions.py`).
"""
