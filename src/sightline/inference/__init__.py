"""Asking a trained model: engines, the session, decoding, confidence and the out-of-domain warning. Numpy
and ONNX Runtime; torch only in `torch_session.py`, `torch_engine.py`, `block_generation.py`,
`transformers_model.py`, `image_text_model.py` and `image_text_vision.py`, which are imported when called.

session.py: `Session`: loads an exported model, answers and scores with it
encoding.py: `Encoder`: pictures, texts and questions as arrays of the model
engine.py: the protocol that every decoding method runs on
onnx_engine.py: ONNX graphs behind it
execution_provider.py: the runtime, and the accelerator or processor that it computes on
openvino_graph.py: a graph in OpenVINO
torch_engine.py: PyTorch behind it
torch_session.py: a session around the models that training wrote
transformers_model.py: a vision-language model of transformers with its processor
image_text_model.py: such a model behind the same engines
image_text_vision.py: its image tower and projector
chat_prompt.py: where picture and question stand in its prompt
block_generation.py: text from an encoder-decoder of the model library
session_profile.py: a session under ONNX Runtime's profiler
lazy_models.py: PyTorch models loaded on first use
decoding/: greedy, sampling, beam and the contrastive methods
batching.py: rows through a graph at one batch shape
confidence.py: what an answer's probability is worth, and `sure`
fit_confidence.py: its temperature and bound, fitted on val
out_of_domain.py: does a picture look like those of training: score and threshold
question_detector.py: does a question read like those of training: the same
drift.py: histograms of scores, and how far others have moved from them
object_words.py: how likely the least likely object word of a description was
fit_object_words.py: what is usual of it, fitted on val
retrieval_context.py: captions of similar pictures beside a question
calibration_data.py: questions with pictures and right answers, for fitting confidence and quantizing
answering.py: questions answered and pictures described as a `Generation` says
bundle_settings.py: generation.json of a bundle, of 0.9.0 too
caption_scoring.py: how likely a picture would be described in given words
describing.py: a description chosen among candidates by the dual encoder

Not here: how graphs are made (`export`), search (`search`), HTTP (`serve`), scoring (`evaluate`).
"""
