"""How the modules of the package hang together: what import-linter cannot see."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "mdata").rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imported(tree: ast.Module) -> Iterator[str]:
    """Give the modules of ours that a module imports: at its top, inside of functions, and for its types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            whole = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else node.module for name in whole)


def circles(arrows: dict[str, set[str]]) -> set[str]:
    """Return the modules that lie on a circle: whoever has no arrow to any that is left is taken away, and again."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while True:
        ends = {name for name, targets in left.items() if not targets}
        starts = set(left) - set().union(*left.values())
        if not ends | starts:
            return set(left)
        left = {name: targets - ends for name, targets in left.items() if name not in ends | starts}


def test_no_module_imports_one_that_imports_it_inside_of_functions_neither() -> None:
    assert circles({name: set(imported(tree)) - {name} for name, tree in TREES.items()}) == set()


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set(), "e": {"a"}}) == {"b", "c"}
