"""`sightline init`: a repository of a user's own, made for their data.

data_options.py: what the options name: checks, and which column holds what
picture_folder.py: where the pictures of a table lie
own_repository.py: the files, git and DVC; templates/: its README
own_dag.py: its dvc.yaml, made from the project's own
pinned_version.py: the line of requirements.txt

Not here: reading of tables and pictures (`data`), the files that it is made of (`core/packaged_project.py`).
"""
