"""The parameters: one schema a section of params.yaml, so a new parameter, its range or its meaning is
written here, and its value in params.yaml or a profile.

loader.py: reads, merges and checks everything; errors with file, line and cure
checks.py: the error of a bad parameter, and what the sections share
sections.py: the typed `Params`: every section under its name
data_params.py: `data`, `convert`: pictures, captions, questions
tower_params.py: `text`, `vision`: the towers
dual_encoder_params.py: `dual_encoder`: a pretrained one in their place
train_params.py: `pretrain`, `align` (loss, temperature, fusion), `finetune`, `compress`
bundle_params.py: `export`, `index`
quality_params.py: `explain`, `evaluate`, `gate` (the floors of the quality gate)
red_team_params.py: `red_team`: how hard the model is attacked
generation.py: `spin`, `generation`: how answers are decoded (method, temperature, top p, candidates)
edit.py: writes leaves in place, as `dvc exp run -S` does
params_files.py: params.yaml and profiles/*.yaml, read leaf by leaf
resolved.py: resolved.yaml: what params.yaml and the profile come to
migrate.py: a params.yaml of 0.9.0 in the new form
reference.py: docs/reference/params.md

Not here: what a parameter does; the room that reads it holds that.
"""
