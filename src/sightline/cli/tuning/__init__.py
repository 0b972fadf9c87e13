"""`sightline tune`: a search for parameters by Optuna, whose trials are experiments of DVC's queue.

search_space.py: the values that are tried, as typed, checked by the schema of the parameters
val_figures.py: what a search may go by: figures of val in the training curves
experiment_queue.py: `dvc exp run --queue`, `dvc queue`, `dvc exp show`
trials.py: the trials of a search, kept on disk: asked, reported, told (Optuna)
tuning_loop.py: from trials to experiments and back until all have ended
tuning_page.py: the table and the picture of the trials

Not here: the parameters and their ranges (`core/params`), who writes the curves (`core/tracking.py`).
"""
