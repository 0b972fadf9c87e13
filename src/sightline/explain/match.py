"""Why do these two match? The dual encoder's similarity of a picture and a text, by occlusion of both.

`whole` is what hiding a part of the picture costs the similarity; a word's map is what that part gives to
this word: the cost with the word less the cost without it (the second difference of picture and word, as in
interaction indices: Grabisch and Roubens 1999). Pictures and texts are encoded apart, so every pair is one
inner product. Asks the session, without torch.

Shapes: N windows, P patches, W words, S tokens, E embedding width.
"""

import numpy as np

from sightline.explain import perturbation, segments
from sightline.explain.heatmap import Explanation, of_word
from sightline.explain.methods.occlusion import windows
from sightline.explain.target import ExplainedModel


def explain(model: ExplainedModel, rgb: np.ndarray, text: str) -> Explanation:
    """The words of the result are `whole`, then the text's own; `confidence` is the cosine similarity.
    Raises ValueError for a text without words."""
    session = model.session
    length = session.settings.max_text
    ids_1S, mask_1S = session.text_tokenizer.batch([text], length, pad_to=length)
    words = session.text_tokenizer.words(ids_1S[0][mask_1S[0]].tolist())
    if not words:
        raise ValueError(f"explain --caption: {text!r} holds no word")
    mask_NS = np.repeat(mask_1S, 1 + len(words), axis=0)
    for row, (_, positions) in enumerate(words, 1):
        mask_NS[row, positions] = False
    texts_WE = session.engine.embed_texts(np.repeat(ids_1S, len(mask_NS), axis=0), mask_NS)[1]
    hidden_NP = windows(*model.grid)
    present_NP = 1 - np.concatenate([np.zeros((1, hidden_NP.shape[1])), hidden_NP])
    pixels_CYX, background_CYX = session.pixels([rgb])[0], perturbation.backgrounds(model, rgb)["mean"]
    segment_YX = segments.patches(session.image_size, model.grid)
    images_NE = np.concatenate([
        session.engine.embed_images(perturbation.blend(pixels_CYX, background_CYX, rows, segment_YX))[1]
        for rows in np.split(present_NP, range(perturbation.BATCH, len(present_NP), perturbation.BATCH))
    ])  # fmt: skip
    similarity_NW = images_NE @ texts_WE.T
    loss_NW = similarity_NW[0] - similarity_NW[1:]
    each_PW = hidden_NP.T @ loss_NW / hidden_NP.sum(axis=0)[:, None]
    gain_W = similarity_NW[0, 0] - similarity_NW[0, 1:]
    gains = [(word, float(gain)) for (word, _), gain in zip(words, gain_W, strict=True)]
    maps_WP = [each_PW[:, 0], *(each_PW[:, 0] - each_PW[:, row] for row in range(1, 1 + len(words)))]
    seen = session.preprocessing.seen(*rgb.shape[:2])
    heats = [
        of_word("occlusion", word, seen, map_P.reshape(model.grid), gains)
        for word, map_P in zip(["whole", *(word for word, _ in words)], maps_WP, strict=True)
    ]
    config = session.engine.config
    silenced_LH = np.zeros((config.get("layers", 0), config.get("heads", 0)))
    return Explanation(text, text, float(similarity_NW[0, 0]), heats, silenced_LH)
