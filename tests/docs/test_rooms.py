"""Every folder of code says what belongs in it, and names its files as they are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(
    path.parent.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src").rglob("__init__.py")
    if path.parent.name != "sightline"
)


def contents(room: Path) -> set[str]:
    """Modules and folders of a room, as its docstring spells them."""
    modules = {path.name for path in room.glob("*.py")} - {"__init__.py"}
    return modules | {f"{path.parent.name}/" for path in room.glob("*/__init__.py")}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_belongs_in_it(room):
    folder = ROOT / "src" / room
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert re.search(r"^Not here: ", text, flags=re.M)
    named = re.findall(r"^([\w]+(?:\.py|/)): ", text, flags=re.M)
    assert sorted(named) == sorted(contents(folder)), "name every file of the room in its __init__.py"


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_points_at_exists(room):
    """Paths in its docstring: of a room, of a file in one, of a document."""
    text = ast.get_docstring(ast.parse((ROOT / "src" / room / "__init__.py").read_text(encoding="utf-8")))
    outside = text[text.index("Not here: ") :]
    assert len(outside) > len("Not here: ")
    for name in re.findall(r"`([a-z_]+(?:/[\w.]+)*)`", outside):
        places = (
            ROOT / name,
            ROOT / "src" / name,
            ROOT / "src/sightline" / name,
            ROOT / "src/sightline_lab" / name,
        )
        known = any(place.exists() for place in places) or (ROOT / "src" / room / name).exists()
        assert known or "/" not in name, f"{room} points at {name}, which is not there"
    for name in re.findall(r"\bdocs/[\w/.-]*\w", text):
        assert (ROOT / name).exists(), f"{room} points at {name}, which is not there"
