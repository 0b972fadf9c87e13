"""metrics/search.json as a page and a picture: docs/reports/search-speed.md and .svg."""

from pathlib import Path
from typing import Any

from sightline.core import templates

RESULT = Path("metrics/search.json")
PAGE, PICTURE = Path("docs/reports/search-speed.md"), Path("docs/reports/search-speed.svg")
RECALL, LATENCY_MS = 0.99, 5.0  # goals
COLORS = {"flat": "#171d2b", "IVF": "#2456a6", "HNSW": "#e8590c"}


def page(result: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    sizes = sorted({one["size"] for one in result["rows"]})
    return templates.render(
        "sightline_lab.bench", "search-speed.md", result=result, sizes=sizes, picture=PICTURE.name,
        verdict=_verdict(result["rows"], sizes[-1]), cold=result.get("cold"),
    )  # fmt: skip


def fastest(rows: list[dict[str, Any]], size: int) -> dict[str, Any] | None:
    """The fastest approximate row of a size whose recall reaches RECALL, or None."""
    candidates = [one for one in rows if one["size"] == size and one["kind"] != "flat"]
    candidates = [one for one in candidates if one["recall_10"] >= RECALL]
    return min(candidates, key=lambda one: one["p50_ms"], default=None)


def _verdict(rows: list[dict[str, Any]], size: int) -> str:
    best = fastest(rows, size)
    if best is None:
        return f"Among {size:,}, no approximate index finds {RECALL:.0%} of what exact search finds."
    met = "at most" if best["p50_ms"] <= LATENCY_MS else "**not** at most"
    shipped = next((one for one in rows if one["size"] == size and one["product"]), None)
    if shipped is None:
        used = ""
    elif shipped is best:
        used = " It is what an index of that size uses."
    else:
        used = (
            f" What an index of that size uses finds {shipped['recall_10']:.2%} in {shipped['p50_ms']:g} ms."
        )
    return (
        f"Among {size:,}, `{best['index']}` finds {best['recall_10']:.2%} of what exact search finds in "
        f"{best['p50_ms']:g} ms (median), {met} the {LATENCY_MS:g} ms aimed at; it is built in "
        f"{best['build_s']:g} s and takes {best['memory_mb']:,.0f} MiB.{used}"
    )


def picture(result: dict[str, Any], path: Path) -> None:
    """One panel a size: recall@10 against the median time of a query; the goal shaded."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = result["rows"]
    sizes = sorted({one["size"] for one in rows})
    with plt.rc_context({"svg.hashsalt": "sightline", "font.size": 9}):
        figure, axes = plt.subplots(
            1, len(sizes), figsize=(3.6 * len(sizes), 3.4), sharey=True, layout="constrained", squeeze=False
        )
        for axis, size in zip(axes[0], sizes, strict=True):
            for kind, color in COLORS.items():
                of_kind = [one for one in rows if (one["size"], one["kind"]) == (size, kind)]
                points = [one["p50_ms"] for one in of_kind], [one["recall_10"] for one in of_kind]
                axis.plot(*points, "o-", color=color, label=kind, ms=4)
                used = [one for one in of_kind if one["product"]]
                axis.plot([one["p50_ms"] for one in used], [one["recall_10"] for one in used], "o", ms=11,
                          mfc="none", color=color)  # fmt: skip
            axis.axhspan(RECALL, 1.005, color="#14804a", alpha=0.1, lw=0)
            axis.axvline(LATENCY_MS, color="#8a93a6", lw=0.8, ls=":")
            axis.set_xscale("log")
            axis.set_title(f"{size:,}")
            axis.set_xlabel("ms a query (median)")
        axes[0][0].set_ylabel("recall@10")
        axes[0][0].legend(frameon=False)
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
        plt.close(figure)
