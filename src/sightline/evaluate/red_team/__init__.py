"""`sightline red-team` and the stage `red_team`: attacks on a model, each with a control.

families/: a file per family of attacks
cases.py: what a family hands over: questions, changes of pictures, and when an attack succeeds
material.py: the pictures and questions that attacks are made from
picture_changes.py: words, patches, noise and mirrors on a picture, at any zoom
attacked_model.py: the model as users meet it: an answer, and whether it is given as sure
attack_run.py: every family against the model: rates with intervals, and the worst examples
red_team_figures.py: red_team.json, and two of them compared
red_team_page.py: the page

Not here: the bounds that a build must keep (`evaluate/quality_gate.py`), damaged or hostile files
(`lab`), mistakes without an attacker (`explain/failure_browser.py`).
"""
