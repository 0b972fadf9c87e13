"""A rendered product catalogue, labelled so, with its exact truth: data to measure questions, duplicates and
search on, and of any size.

vocabulary.py: kinds of products, parts, shades, materials, in English and German
products.py: which product each item is; variants and true copies
canvas.py: outlines with colour, pattern, material and light
look.py: what a drawing asks a product for
shoes_bags.py, clothes.py, household.py: a drawing per kind
render.py: a product's picture; what becomes of a copy
prose.py: titles and descriptions of many forms, and what they claim
english.py, german.py: the sentences of a language
writer.py: items.csv, truth.jsonl and the pictures

Not here: how tables are read (`sightline.data.sources`).
"""
