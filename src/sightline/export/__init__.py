"""From PyTorch to ONNX files: tracing, fusing, quantizing, checking, and choosing the variant that ships.

export_variants.py: the entry point of the stage
convert_model.py: a model of transformers as a bundle that answers
onnx_graphs.py: the six graphs and how they are traced
graph_modules.py: what each graph computes
fused_attention.py: an attention as one node
simplify_graph.py: the decoder's step with less to do
quantize.py: static int8
gptq.py: weights rounded to four bits
packed_weights.py: weights folded in the file, unfolded at load
quantization_sensitivity.py: which layers int8 hurts
parity.py: ONNX against PyTorch
variants.py: quantization ranges, cost and loss of each variant, the choice
onnx_metadata.py: metadata of a file

Not here: running the graphs (`inference`), the shipped folder (`search/bundle.py`).
"""
