import tomllib
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from sightline.core import templates

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def render(tmp_path, monkeypatch):
    """Renders a text as a template of a package of its own."""

    def rendered(name, source, **values):
        folder = tmp_path / tmp_path.name / "templates"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        (folder / name).write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return templates.render(tmp_path.name, name, **values)

    yield rendered
    templates.environment.cache_clear()


def test_text_in_html_is_escaped_and_markup_is_not(render):
    made = render("a.html", "<p>{{ text }}{{ ours }}</p>", text="<b>\"'&", ours=Markup("<i>"))
    assert made == "<p>&lt;b&gt;&#34;&#39;&amp;<i></p>"


def test_markdown_is_left_as_it_is(render):
    made = render(
        "a.md", "{{ text }} {{ 'a|b' | cell }} {{ 0.256 | percent(1) }} {{ none | percent }}", text="<b>&"
    )
    assert made == "<b>& a\\|b 25.6 % -"


def test_a_value_that_is_not_given_is_an_error(render):
    with pytest.raises(jinja2.UndefinedError, match="'text' is undefined"):
        render("a.md", "{{ text }}")


@pytest.mark.parametrize(
    ("settings", "package"),
    [("pyproject.toml", "src/sightline"), ("src/sightline_lab/pyproject.toml", "src/sightline_lab")],
)
def test_the_wheel_holds_every_template(settings, package):
    held = tomllib.loads((ROOT / settings).read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    found = [path for path in (ROOT / package).rglob("templates/*") if path.is_file()]
    assert found
    for path in found:
        of = path.parents[1]
        assert (of / "__init__.py").exists() and any(path in of.glob(pattern) for pattern in held["*"])
