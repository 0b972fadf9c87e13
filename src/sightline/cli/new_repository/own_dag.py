"""The dvc.yaml of a repository that holds data and no code: this project's own, with other code deps."""

import io
from typing import Any

from ruamel.yaml import YAML

CODE = "src/sightline/"  # where the project's own dvc.yaml has the code
HEAD = """# The DAG, written by `sightline init`. The code lies in the installed package: the stage `resolve`
# looks at it every time and writes a hash of each of its folders into resolved.yaml, which the other stages
# track as code.<folder>. So another version of Sightline reruns the stages whose code it changes.
"""


def rewrite(text: str) -> str:
    """Return the project's dvc.yaml for a user's repository: a dep on a folder of the code becomes the param
    `code.<folder>` of resolved.yaml; `resolve`, which writes that, always runs. All else stays as it is."""
    yaml = YAML()
    yaml.width = 118
    dag = yaml.load(text[text.index("stages:") :])
    for name, stage in dag["stages"].items():
        folders = [dep.removeprefix(CODE) for dep in stage["deps"] if dep.startswith(CODE)]
        for folder in folders:
            stage["deps"].remove(CODE + folder)
        if name == "resolve":
            stage.insert(list(stage).index("outs"), "always_changed", True)
        else:
            _track(stage, folders)
    out = io.StringIO()
    yaml.dump(dag, out)
    return HEAD + out.getvalue()


def _track(stage: Any, folders: list[str]) -> None:
    """Add the folders of the code to the params of a stage, which are all of resolved.yaml."""
    if "params" not in stage:
        stage.insert(list(stage).index("outs"), "params", [{"resolved.yaml": []}])
    stage["params"][0]["resolved.yaml"] += [f"code.{folder}" for folder in folders]
