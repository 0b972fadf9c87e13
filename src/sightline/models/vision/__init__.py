"""The image towers. The folder is the registry: `vision.tower: <name>` is the file here, with
`build(config)`.

small_cnn.py: a small convolutional tower, from scratch
timm.py: any architecture of timm
torchvision.py: any classifier of torchvision
_checkpoint.py: weights from safetensors

Not here: what a tower asks of its pictures (`core/preprocessing.py`), preparing them (`data/transforms.py`),
training (`train/align.py`).
"""
