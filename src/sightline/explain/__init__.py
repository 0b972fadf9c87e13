"""Why an answer: heat maps by a dozen methods, the pages that show them, and measures of whether they are
true.

methods/: a file per method
target.py: what is explained: a model and an answer
heatmap.py: what every method returns
explain_items.py: the entry point of the stage
explained_items.py: which test questions are explained
gradients.py: differentiable passes of the PyTorch model
perturbation.py: hiding parts of picture and question
segments.py: those parts of a picture: patches or superpixels
head_views.py: layer by layer, head by head
word_patch_matrix.py: all words by all patches
match.py: why a text and a picture match
masked_word.py: which words carry a masked word
failure_browser.py: `sightline failures`
faithfulness.py: deletion, insertion, pointing: is a map true
faithfulness_benchmark.py: these measures over test questions
heatmap_figures.py: PNG pictures
heatmap_page.py: the offline HTML page

Not here: the study over all methods (`sightline_lab/faithfulness`), the web page's tab
(`serve/ui/ask_tab.py`).
"""
