"""From captions and scene graphs to question-answer triples: the questions and their true answers.

convert_captions.py: the entry point of the stage: counts, then writes every split
triples.py: reads the written triples
caption_rules.py: colour, count, relation and other open questions
existence_questions.py: yes/no questions and the POPE polls
object_mentions.py: objects that a caption names
object_lexicon.py: object classes: synonyms, relatives
word_lists.py: closed word lists: colours, numbers, ...
caption_consensus.py: whether captions of a picture agree
question_types.py: types by the form of their answer
prompt_template.py: the template in which a question is put
leakage.py: the same picture in two splits

Not here: questions about rendered scenes (`data/scenes/scene_questions.py`), how answers are scored
(`evaluate/metrics`).
"""
