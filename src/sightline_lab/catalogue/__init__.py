"""A rendered product catalogue, labelled so, with its exact truth: data to measure questions, duplicates and
search on, and of any size.

vocabulary.py: kinds of products, parts, shades, materials, in English and German
products.py: which product each item is; variants and true copies
canvas.py: outlines with colour, pattern, material and light
look.py: what a drawing asks a product for
shoes_bags.py: drawings of shoes, bags, watches, sunglasses, caps and umbrellas
clothes.py: drawings of clothes and cushions
household.py: drawings of things for the house
render.py: a product's picture; what becomes of a copy
prose.py: titles and descriptions of many forms, and what they claim
english.py: English sentences
german.py: German sentences
writer.py: items.csv, truth.jsonl and the pictures

Not here: how tables are read (`sightline.data.sources`).
"""
