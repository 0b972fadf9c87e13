"""The image towers. The folder is the registry: `vision.tower: <name>` is the file here, with
`build(config)`.

small_cnn.py: a small convolutional tower, from scratch
timm.py: any architecture of timm
torchvision.py: any classifier of torchvision
hf.py: the image transformers of Hugging Face
_checkpoint.py: weights from safetensors
_torchvision_hub.py: torchvision's weights, as timm keeps them on the hub

Not here: what a tower asks of its pictures (`core/preprocessing.py`), preparing them (`data/transforms.py`),
training (`train/align.py`).
"""
