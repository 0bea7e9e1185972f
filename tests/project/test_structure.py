"""How the modules of the package hang together: what import-linter cannot see."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdata.domain.candle import COLUMNS
from mdata.domain.columns import Columns
from mdata.domain.timeframe import TIMEFRAMES
from mdata.reading import candles as reading

ROOT = Path(__file__).parents[2]
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


def test_no_two_public_classes_have_one_name() -> None:
    defined = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in defined.items() if count > 1] == []


def test_what_lists_the_columns_of_a_candle_derives_them() -> None:
    """Beside `domain.candle`, which says what a candle has, only released migrations and the digest's format do."""
    listed = re.compile(r'"?open"?, "?high"?, "?low"?, "?close"?, "?volume')
    told = {name for name, path in MODULES.items() if listed.search(path.read_text())}
    assert told == {"mdata.domain.candle", "mdata.store.digests"}
    assert Columns._fields == reading.Candle._fields == COLUMNS


def test_what_lists_the_timeframes_derives_them() -> None:
    names = "|".join(TIMEFRAMES)
    listed = re.compile(rf'(({names})"?,? "?){{4}}')
    assert [name for name, path in MODULES.items() if listed.search(path.read_text())] == []


# The word of the glossary in docs/design.md for each of these.
SYNONYMS = {"rejected": "refused", "unsound": "refused", "given_up": "failed", "give_up": "failed"}
# What stands in JSON stays as it was.
KEPT = {("mdata.jobs.cleanup", "rejected"), ("mdata.store.retention", "rejected")}


def defined(tree: ast.Module) -> Iterator[str]:
    """Give the names that a module defines: classes, functions, arguments, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


@pytest.mark.parametrize("synonym", SYNONYMS)
def test_one_word_for_one_thing(synonym: str) -> None:
    found = {(name, one) for name, tree in TREES.items() for one in defined(tree) if synonym in one.lower()}
    assert found - KEPT == set(), f"the word is {SYNONYMS[synonym]}"


def test_what_test_modules_share_lies_in_helpers() -> None:
    """A test module that imports another one runs its fixtures, and is broken when that moves."""
    modules = [path for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "data"]
    found = {path.stem for path in modules if re.search(r"^ *(from|import) test_", path.read_text(), re.MULTILINE)}
    assert found == set()
