"""The suite itself: every test asserts something whatever its data are, and nothing is skipped silently."""

import ast
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(TESTS.rglob("*.py"))}
# May be missing; the reason of the skip says what is then not checked.
OPTIONAL = {"quantus", "optuna", "moto", "dvc_s3", "kubernetes_validate", "accelerate", "ray", "openvino"}


def called(node: ast.AST) -> str:
    """The last name of what a call calls."""
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def holds(values: ast.expr) -> bool:
    """Whether an iterable evidently has an element: a display, a range, a constant of a module, or these in a
    call such as enumerate()."""
    if isinstance(values, ast.Tuple | ast.List | ast.Set):
        return any(not isinstance(value, ast.Starred) for value in values.elts)
    if isinstance(values, ast.Dict):
        return bool(values.keys)
    if isinstance(values, ast.Name | ast.Attribute):
        return called(values).isupper()
    if isinstance(values, ast.BinOp):
        return holds(values.left) or holds(values.right)
    if called(values) in ("items", "keys", "values"):
        return holds(values.func.value)
    if called(values) == "zip":
        return any(map(holds, values.args)) and ast.unparse(values).endswith("strict=True)")
    if called(values) in ("enumerate", "sorted", "product"):
        return bool(values.args) and all(map(holds, values.args))
    return called(values) in ("range", "pictures")  # both are told how many


def calls_assertion(node: ast.AST, helpers: set[str]) -> bool:
    """Whether a call in `node` raises where a test must fail."""
    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
    return any(
        called(call) in ("raises", "warns")
        or called(call).startswith("assert_")
        or ast.unparse(call.func) in helpers
        or any(ast.unparse(word) == "check=True" for word in call.keywords)
        for call in calls
    )


def asserts(body: list[ast.stmt], helpers: set[str]) -> bool:
    """Whether a run through `body` meets an assertion: none hides in a branch or in a loop over nothing."""
    return any(_asserts(statement, helpers) for statement in body)


def _asserts(node: ast.stmt, helpers: set[str]) -> bool:
    match node:
        case ast.Assert():
            return True
        case ast.With():
            headers = any(calls_assertion(item.context_expr, helpers) for item in node.items)
            return headers or asserts(node.body, helpers)
        case ast.For():
            return holds(node.iter) and asserts(node.body, helpers)
        case ast.If():
            return asserts(node.body, helpers) and asserts(node.orelse, helpers)
        case ast.Try():
            ends = [node.body + node.orelse, *(handler.body for handler in node.handlers)]
            return all(asserts(end, helpers) for end in ends) or asserts(node.finalbody, helpers)
        case ast.Expr() | ast.Assign() | ast.Return():
            return calls_assertion(node, helpers)
    return False


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def known(trees: list[ast.Module]) -> set[str]:
    """Names of the functions that assert, also through one another."""
    names: set[str] = set()
    for _ in range(3):
        names |= {each.name for tree in trees for each in functions(tree) if asserts(each.body, names)}
    return {name for name in names if not name.startswith("test_")}


def helpers(tree: ast.Module) -> set[str]:
    """What a test file can call to assert, as it writes it: its own functions and those of tests/support."""
    names = known([tree])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests.support"):
            for alias in node.names:
                module = TESTS / "support" / f"{alias.name}.py"
                if module in TREES:
                    names |= {f"{alias.name}.{name}" for name in known([TREES[module]])}
                else:
                    module = TESTS / "support" / f"{node.module.split('.')[-1]}.py"
                    names |= {alias.name} & known([TREES[module]])
    return names


def vacuous(path: Path, tree: ast.Module) -> list[str]:
    asserting = helpers(tree)
    tests = [each for each in functions(tree) if each.name.startswith("test_")]
    return [f"{path.name}: {each.name}" for each in tests if not asserts(each.body, asserting)]


def test_every_test_asserts_something():
    assert [name for path, tree in TREES.items() for name in vacuous(path, tree)] == []


def test_an_assertion_in_a_branch_or_a_loop_over_nothing_does_not_count():
    text = """
def test_nothing(found):
    subprocess.run(["true"])
def test_branch(found):
    if found:
        assert found == 1
def test_loop(found):
    for each in found:
        assert each
def test_swallowed(found):
    try:
        found()
    except ValueError:
        assert False
def test_all(found):
    for each in (1, 2):
        assert found[each]
def test_raises(found):
    with pytest.raises(ValueError):
        found()
def test_run(found):
    subprocess.run(["true"], check=True)
"""
    named = [f"a.py: test_{name}" for name in ("nothing", "branch", "loop", "swallowed")]
    assert vacuous(Path("a.py"), ast.parse(text)) == named


def test_a_missing_requirement_fails_and_every_skip_has_a_reason():
    """Only what is no requirement may be absent; the end of a session counts skips by their reason."""
    for path, tree in TREES.items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if called(call) == "importorskip":
                assert ast.literal_eval(call.args[0]) in OPTIONAL, f"{path.name}: import what is required"
            reasons = call.args if called(call) == "skip" else [each.arg for each in call.keywords]
            if called(call) in ("skip", "skipif", "xfail", "importorskip"):
                assert reasons and (called(call) == "skip" or "reason" in reasons), f"{path.name}: no reason"
    assert "-ra" in (TESTS.parent / "pyproject.toml").read_text(encoding="utf-8")
