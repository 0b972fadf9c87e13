"""gate: fails if the shipped variant fell below params.gate. metrics/summary.json -> metrics/gate"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> bool:
    from sightline.evaluate import metrics_summary, quality_gate

    summary = metrics_summary.read(Path())
    checks = quality_gate.checks(summary, params.gate, params.evaluate.splits[0])
    target = Path("metrics/gate/gate.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    passed = quality_gate.passed(checks)
    artifacts.write_json(target, {"passed": passed, "checks": [check.plain() for check in checks]})
    for check in checks:
        runtime.log(check.line())
    return passed


if __name__ == "__main__":
    with runtime.stage("gate") as params:
        passed = main(params)
    sys.exit(0 if passed else 1)
