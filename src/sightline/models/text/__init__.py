"""The text towers. The folder is the registry: `text.tower: <name>` is the file here, with `build(config)`.

bert.py: a BERT trained from scratch
hf.py: any Hugging Face text encoder
idf_bag.py: words weighted by rarity, averaged
hf_idf_bag.py: the sum of both, the encoder as it came

Not here: tokenizers (`data/tokenizer.py`), masked-word training (`train/pretrain.py`).
"""
