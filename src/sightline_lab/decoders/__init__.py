"""Our own decoder against a causal language model in its place, at equal compute.

random_language_model.py: a small one with random weights, in Hugging Face's layout
decoder_arms.py: the two arms of the study
exported_answers.py: the causal one as ONNX graphs against PyTorch, question by question
decoders_page.py: its figures as a page

Not here: how arms are trained at equal compute (`ablations`), the speed of both (`bench`).
"""
