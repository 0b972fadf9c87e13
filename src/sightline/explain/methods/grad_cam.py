"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) on the last feature map of the image tower, whichever
tower it is: channels weighed by the mean of their gradient over the map, negative sums cut.

The weakest method here (docs/reports/explanations.md): a channel has one weight for all patches, but this
decoder reads each patch for itself.

For a transformer tower the map is its tokens on their grid. The question's words get gradient x input of
their embeddings (at 0: [MASK]). Needs the PyTorch model.

Shapes: P patches, D channels.
"""

from sightline.explain.heatmap import Heatmap, of_word
from sightline.explain.target import ExplainedAnswer, ExplainedModel


def explain(model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int]) -> Heatmap:
    from sightline.explain import gradients

    tape = gradients.run(model, answer, tokens, gradients.pixels(model, answer.rgb))
    slope_1PD, of_token_1Q = gradients.of(tape, [tape.image, tape.presence])
    cam_P = (tape.image[0].detach().numpy() * slope_1PD[0].mean(axis=0)).sum(axis=1).clip(min=0)
    patches = cam_P.reshape(model.grid)
    return of_word(
        "grad_cam", answer.word(tokens), answer.seen, patches,
        gradients.words(answer, of_token_1Q[0]), scores=model.spread(patches),
    )  # fmt: skip
