"""Pages from Jinja2 templates, from the folder `templates` of the package that renders them.

A template named *.html escapes every value but `Markup`; in Markdown nothing is escaped. A value that a
template names and is not given is an error.
"""

from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

CORE = "sightline.core"  # its templates are those that several packages share


@cache
def environment(package: str) -> Environment:
    """The templates of a package, and core's."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, CORE))]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"cell": cell, "count": "{:,}".format, "percent": percent}
    return made


def cell(value: object) -> str:
    """Text for a cell of a Markdown table."""
    return str(value).replace("|", "\\|")


def percent(share: float | None, digits: int = 0) -> str:
    """A share as percent; "-" for none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def macros(package: str, name: str) -> Any:
    """The macros of a template of `package`, as attributes; each returns `Markup`."""
    return environment(package).get_template(name).module


def render(package: str, name: str, **values: Any) -> str:
    """The text of a template of `package` (a dotted name), filled in."""
    return environment(package).get_template(name).render(values)
