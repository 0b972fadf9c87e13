"""A file per family of attacks; its name is that of the family. Each holds

`ATTACK`: what is done; `SUCCESS`: when an attack counts as a success, in one sentence; `CONTROLS`: what is
asked beside it and judged alike, each with what it shows; `RIGHT_FIRST`: only questions that are answered
right before the attack count; `JUDGES_SURE`: success depends on answers being given as sure;
`cases(material, rng)`: yields a `Case` each, or raises `Untestable` with the reason;
`succeeded(case, asks, given)`: whether the answers to these questions are a success;
`READS_CAPTIONS`: it needs a model whose questions retrieved captions reach (only where it does);
`search(model, material, cases, effort)`: the cases with what was found (only where one searches).

absent_object.py: a thing that is not there is asked for
another_picture.py: the same question about another picture
blank_picture.py: a grey picture
contradiction.py: a question and its negation
false_premise.py: a property of a thing that is not there
injected_caption.py: a lie among the retrieved captions
leading_question.py: a false sentence before the question
mirrored_picture.py: left and right exchanged
noise_picture.py: a picture of noise
occlusion.py: what is asked about is covered
small_perturbation.py: pixels changed a little, found by a search
typographic.py: a false word on the picture

Not here: how a change is painted (`evaluate/red_team/picture_changes.py`), rates and intervals
(`evaluate/red_team/attack_run.py`).
"""
