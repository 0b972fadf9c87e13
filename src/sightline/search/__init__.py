"""Finding pictures and texts, and the folder that ships.

vector_index.py: nearest neighbours by FAISS
examples.py: a bundle's example pictures, for the model and for people
item_index.py: the searchable items of a bundle, read where they lie
index_writer.py: writes them as they come
user_index.py: `sightline index`: an index of a table of yours
reranking.py: the nearest pictures of words, put in order by the answering model
results_page.py: results with their pictures as a page
bundle.py: models/bundle: graphs, tokenizer, settings, index, card
bundle_card.py: its model card

Not here: the embeddings (`models/dual_encoder.py`, `inference/session.py`), how re-ranking is measured
(`evaluate/metrics/retrieval.py`).
"""
