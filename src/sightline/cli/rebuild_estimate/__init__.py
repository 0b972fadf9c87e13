"""`sightline estimate`: what a build takes and what the data cannot teach, told from a sample in seconds.

data_sample.py: some items of the data, built as the stage `download` builds them, without the network
rehearsal.py: a process of its own that converts the sample and trains for a few steps
cost_model.py: seconds of the whole build from those of the rehearsal; disk
estimate_lines.py: the sentences

Not here: what a build did take: `cli/checkout_files.py`.
"""
