"""The bundle as a model of MLflow, which runs this file (models from code: nothing is pickled).

A row is a picture, encoded (PNG, JPEG, ...) and in base64, and a question; the answer is a row of text,
calibrated confidence, whether that is sure, and whether the picture is unlike those of training. A model that
only searches takes `text` and answers with the ids of the pictures that it describes best.
"""

import base64
import binascii
import os
from pathlib import Path

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

BEST = 5  # pictures that a search returns
PIXELS = 50_000_000  # of a picture


class SightlineModel(PythonModel):
    """Opens the bundle, every file of it verified, and answers."""

    def load_context(self, context):
        import sightline
        from sightline.data.image_workers import ImageWorkers
        from sightline.inference.out_of_domain import OODDetector
        from sightline.inference.session import Session
        from sightline.search.bundle import INDEX
        from sightline.search.item_index import ItemIndex

        bundle = Path(context.artifacts["bundle"])
        self._session = Session.load(bundle)
        self._detector = OODDetector.load(bundle)
        self._items = ItemIndex(bundle / INDEX, self._session.search_digest())
        # Pictures are decoded in processes of their own, which import the code that came with the model.
        code = str(Path(sightline.__file__).resolve().parents[1])
        os.environ["PYTHONPATH"] = os.pathsep.join([code, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._workers = ImageWorkers()

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        if not self._session.answers:
            return self._search(list(model_input["text"]))
        pictures = [self._picture(row, text) for row, text in enumerate(model_input["image"])]
        answers = self._session.answer(pictures, [str(text) for text in model_input["question"]])
        unlike = [
            bool(score > self._detector.bound) for score in self._detector.scores(self._session, pictures)
        ]
        rows = [
            (answer.text, float(answer.confidence), bool(answer.sure) and not far, far)
            for answer, far in zip(answers, unlike, strict=True)
        ]
        return pd.DataFrame(rows, columns=["answer", "confidence", "sure", "out_of_domain"])

    def _picture(self, row: int, text: str):
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise ValueError(f"row {row}: expected a picture in base64, found something else") from error
        return self._workers.decode(data, PIXELS)

    def _search(self, texts: list[str]) -> pd.DataFrame:
        vectors_TE = self._session.embed_texts(texts)
        found = [self._items.search(vector_E[None], BEST)[0] for vector_E in vectors_TE]
        return pd.DataFrame({"items": [[hit.id for hit in hits] for hits in found]})


set_model(SightlineModel())
