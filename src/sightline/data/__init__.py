"""Pictures, captions and questions, from a source to model inputs, in numpy. No torch.

sources/: a file per format: where data comes from
intake/: the rows of any source to items on disk
questions/: captions to questions and answers
scenes/: the rendered scenes of the benchmark
shards.py: the tar shards on disk, `Items`
vqa_data.py: pictures, questions and tokenizer together, `VqaData`
images.py: an encoded picture to pixels and back
image_headers.py: what a picture holds beside its pixels, counted before it is decoded
image_workers.py: pictures from elsewhere, decoded in processes with a budget
image_folder.py: a folder or zip of pictures that a user points at
transforms.py: a picture as model input: resize, crop, normalise
tokenizer.py: text to ids and back: the trained WordPiece, or a pretrained model's
tokenizer_files.py: tokenizer.json and the roles of its special tokens, checked
transformers_tokenizer.py: a tokenizer as `transformers` loads it
cider.py: how much a description says what several people say of a picture
batches.py: which samples make which step
fetch.py: downloads with pinned checksums
http_transfer.py: one attempt at a download
http_connection.py: one connection to a checked address
archives.py: zip archives, read in place

Not here: models (`models`), how a training step samples captions (`train/sample_captions.py`), metrics
(`evaluate`).
"""
