"""The rendered scenes: their scene graphs, pixels, captions and questions. The rules of the
benchmark are frozen (docs/guide/scenes.md); all in integers, so the bytes are the same on any machine.

sample.py: scene graphs under the rules
shapes.py: silhouettes of the twelve kinds
render.py: a scene as pixels
scene_captions.py: five captions
scene_questions.py: questions, true by the graph
scene_oracle.py: answers from wording and graph: the upper bound

Not here: where they become a data set (`data/sources/scenes.py`).
"""
