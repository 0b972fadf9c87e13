"""From captions and scene graphs to question-answer triples: the questions and their true answers.

convert_captions.py: the entry point of the stage: counts, then writes every split
triples.py: reads the written triples
lexicon.py: what a lexicon can do
lexicons/: how things are found in captions, a file each
languages/: the words and the question forms of a language, a file each
language.py: what a language consists of
caption_language.py: which language captions are in
annotated_questions.py: questions that come with the data
word_tagger.py: word classes and lemmas
noun_phrases.py: phrases of a text, what a title is about
corpus_parse.py: texts of an item and the attribute values in them
corpus_counts.py: what is counted over the training captions
corpus_questions.py: the rules of the lexicon `corpus`
caption_rules.py: colour, count, relation and other open questions
existence_questions.py: yes/no questions and the POPE polls
object_mentions.py: objects that a caption names
object_lexicon.py: object classes: synonyms, relatives
word_lists.py: closed word lists: colours, numbers, ...
caption_consensus.py: whether captions of a picture agree
question_types.py: types by the form of their answer
deciding_figure.py: which validation figure has enough data behind it to choose by
split_coverage.py: what the splits cannot teach or measure, in sentences
prompt_template.py: the template in which a question is put
leakage.py: the same picture in two splits
near_duplicates.py: one photo encoded, scaled or cropped anew

Not here: questions about rendered scenes (`data/scenes/scene_questions.py`), how answers are scored
(`evaluate/metrics`).
"""
