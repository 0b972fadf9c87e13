"""What leaves the house: the bundle for the Hugging Face Hub, towers in the layouts of other libraries, what
MLflow and TensorBoard are told of a build.

measured_bundle.py: a bundle with what its checkout knows of it: figures, gate, data, commit
published_bundle.py: the folder that is uploaded: the bundle with its whole card, checked
hub_upload.py: the upload
pretrained_layouts.py: `sightline save-pretrained`
tracking_sender.py: sends what stages left in the outbox, beside a build and by `sightline track`
mlflow_server.py: the MLflow server of this user, and its errors in words
mlflow_runs.py: a run of DVC and its stages as nested runs of MLflow
tensorboard_events.py: curves as event files
mlflow_registry.py: `sightline register` and `promote`: versions of a registered model, and their download
templates/mlflow_model.py is the file that MLflow loads a version by.

Not here: what a stage writes into the outbox (`core/tracking_outbox.py`), the bundle itself and its card
(`search/bundle.py`, `search/bundle_card.py`), how a tower is written (`models/tower.py`).
"""
