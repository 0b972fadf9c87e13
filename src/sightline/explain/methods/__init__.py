"""The explanation methods. The folder is the registry: `explain.method: <name>` is the file here, with
`explain(target, answer, tokens)` that returns a `Heatmap`. Names with an underscore are shared parts.

cross_attention.py: where the decoder looked
attention_rollout.py: attention through all layers
gradient_attention.py: attention times its gradient
grad_cam.py: Grad-CAM
integrated_gradients.py: pixels and words
occlusion.py: hiding patches
rise.py: random masks
kernel_shap.py: Shapley values
lime.py: a linear model of masks
random.py: control: noise
centre_gaussian.py: control: the centre
_captum.py: Captum's perturbation methods
_streams.py: one pass with all attention

Not here: drawing (`explain/heatmap_figures.py`), testing a map (`explain/faithfulness.py`).
"""
