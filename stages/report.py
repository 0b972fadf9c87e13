"""report: what git keeps. metrics/{evaluate,explain,export} -> metrics/{summary.json,report}"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.core import artifacts, runtime  # noqa: E402


def main() -> None:
    from sightline.evaluate import chart_tables, metrics_report, metrics_summary, result_files

    evaluated, exported = Path("metrics/evaluate"), Path("metrics/export")
    figures, paired = metrics_report.read(evaluated), result_files.read_csv(evaluated / "paired.csv")
    variants = result_files.read_csv(exported / "variants.csv")
    compressed = result_files.read_csv(Path("metrics/compress/table.csv"))
    maps = artifacts.read_json(Path("metrics/explain/compression.json"))
    built = metrics_summary.build(
        figures, paired, variants, artifacts.read_json(exported / "parity.json"), maps
    )
    artifacts.write_json(Path("metrics/summary.json"), built)
    target = Path("metrics/report/report.md")
    target.parent.mkdir(parents=True, exist_ok=True)
    artifacts.write_json(target.with_name("headline.json"), metrics_summary.headline(built))
    target.write_text(
        metrics_report.markdown(figures, paired, built, variants, compressed), encoding="utf-8", newline="\n"
    )
    chart_tables.write(figures, built["spin"], Path("plots/report"))
    runtime.log(f"figures in metrics/summary.json, tables in {target}")


if __name__ == "__main__":
    with runtime.stage("report"):
        main()
