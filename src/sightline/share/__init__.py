"""What leaves the house: the bundle for the Hugging Face Hub, and towers in the layouts of other libraries.

measured_bundle.py: a bundle with what its checkout knows of it: figures, gate, data, commit
published_bundle.py: the folder that is uploaded: the bundle with its whole card, checked
hub_upload.py: the upload
pretrained_layouts.py: `sightline save-pretrained`

Not here: the bundle itself and its card (`search/bundle.py`, `search/bundle_card.py`), how a tower is written
(`models/tower.py`).
"""
