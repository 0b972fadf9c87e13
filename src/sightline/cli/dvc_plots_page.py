"""The page that `dvc plots diff` fills: Vega is inlined, so the charts draw without a network.

DVC's own page loads three scripts from a CDN. The bundle is made from an installed package at `make setup`
and stays out of git. It is an ES module and so runs after DVC's inline scripts have called `vegaEmbed`:
a queue takes those calls and replays them once the module is there.
"""

from pathlib import Path

VEGA_LITE = "5.20"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sightline: plots</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2433; }
body { margin: 2rem auto; max-width: 1500px; padding: 0 1rem; }
body > div { overflow-x: auto; margin-bottom: 2rem; }
img { max-width: 100%; height: auto; }
p { font-weight: 600; }
</style>
<script>window.vegaQueue = []; window.vegaEmbed = (...call) => window.vegaQueue.push(call);</script>
</head>
<body>
<h1>Sightline: plots</h1>
{plot_divs}
<script type="module">
@BUNDLE@
for (const call of window.vegaQueue) window.vegaEmbed(...call);
</script>
</body>
</html>
"""


def write(path: Path) -> None:
    """Writes the offline page for `plots.html_template` to `path` (about 0.9 MB)."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    assert "</script" not in bundle, "the bundle would end its own script element"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAGE.replace("@BUNDLE@", bundle), encoding="utf-8", newline="\n")
