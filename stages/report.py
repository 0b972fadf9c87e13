"""report: what git keeps.
metrics/{evaluate,explain,export,red_team}, data/vqa -> metrics/{summary.json,report}"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402
from sightline.core.params.loader import Params  # noqa: E402


def main(params: Params) -> None:
    from sightline.evaluate import chart_tables, metrics_report, metrics_summary, quality_gate, result_files
    from sightline.evaluate.red_team import red_team_figures

    evaluated, exported, compression, explained, attacked = (
        artifacts.load(Path("metrics") / name, "metrics").path
        for name in ("evaluate", "export", "compress", "explain", "red_team")
    )
    figures, paired = metrics_report.read(evaluated), result_files.read_csv(evaluated / "paired.csv")
    variants = result_files.read_csv(exported / "variants.csv")
    compressed = result_files.read_csv(compression / "table.csv")
    maps = artifacts.read_json(explained / "compression.json")
    left_out = artifacts.load(Path("data/vqa"), "vqa").config["left_out"]
    rates = red_team_figures.read(attacked / red_team_figures.FILE).summary()
    parity = artifacts.read_json(exported / "parity.json")
    built = metrics_summary.build(figures, paired, variants, parity, maps, rates, left_out)
    checks = quality_gate.checks(built, params.gate, params.evaluate.splits[0])
    artifacts.write_json(metrics_summary.FILE, built)
    config = {"summary": artifacts.sha256(metrics_summary.FILE)}
    with artifacts.create(metrics_summary.REPORT, "metrics", config) as folder:
        artifacts.write_json(folder / "headline.json", metrics_summary.headline(built))
        text = metrics_report.markdown(figures, paired, built, variants, compressed, checks)
        (folder / "report.md").write_text(text, encoding="utf-8", newline="\n")
    chart_tables.write(figures, built["spin"], Path("plots/report"))
    runtime.log(f"figures in {metrics_summary.FILE}, tables in {metrics_summary.REPORT}/report.md")


if __name__ == "__main__":
    with runtime.stage("report") as params:
        main(params)
