"""The parameters: one schema a section of params.yaml, so a new parameter, its range or its meaning is
written here, and its value in params.yaml or a profile.

loader.py: reads, merges and checks everything; errors with file, line and cure
checks.py: the error of a bad parameter, type and range checks
data.py: pictures and captions
convert.py: captions to questions
text.py: the text tower
vision.py: the image tower
pretrain.py: masked words
align.py: contrastive alignment: loss, temperature, fusion
finetune.py: the decoder
compress.py: pruning
export.py: ONNX, quantization, the variant that ships
index.py: the search index, the out-of-domain warning, `sure`
explain.py: heat maps
evaluate.py: splits and sizes of the evaluation
gate.py: the floors of the quality gate
spin.py: suppression of image-inattentive heads
generation.py: how answers are decoded: method, temperature, candidates, SPIN

Not here: what a parameter does; the room that reads it holds that.
"""
