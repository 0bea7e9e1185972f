"""The docs say what the program does: every command, option, setting and exit code stands in them."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Folder

from mdata.cli.main import COMMANDS, HIDDEN, app
from mdata.config import env_file_text
from mdata.config.table import SETTINGS
from mdata.exit_codes import EXIT_CODES
from mdata.sandbox import faults, wsfaults

HERE = Path(__file__).parents[2]
COMMANDS_PAGE = (HERE / "docs" / "commands.md").read_text()
DEVELOPMENT = (HERE / "docs" / "development.md").read_text()
REFERENCE = (HERE / "docs" / "reference.md").read_text()


SANDBOX = (HERE / "docs" / "sandbox.md").read_text()
VISIBLE = [name for name in COMMANDS if name not in HIDDEN]


@pytest.mark.parametrize("command", VISIBLE)
def test_every_command_has_a_heading_and_every_option_a_sentence(command: str) -> None:
    assert f"\n### `mdata {command}`\n" in COMMANDS_PAGE
    parsed = typer.main.get_command(app).get_command(typer.Context(typer.main.get_command(app)), command)  # type: ignore[attr-defined]
    assert parsed.help
    assert [one.name for one in parsed.params if not getattr(one, "help", None)] == []


def test_the_list_of_commands_is_of_whole_sentences() -> None:
    listing = COMMANDS_PAGE[COMMANDS_PAGE.index("\nCommands:\n") : COMMANDS_PAGE.index("Exit codes:")]
    assert "..." not in listing
    assert len(listing.strip().splitlines()) == len(VISIBLE) + 1
    assert "<str>" not in COMMANDS_PAGE
    assert "<int" not in COMMANDS_PAGE


def test_every_option_and_fault_of_the_sandbox_is_told() -> None:
    parsed = typer.main.get_command(app).get_command(typer.Context(typer.main.get_command(app)), "sandbox")  # type: ignore[attr-defined]
    options = {option for one in parsed.params for option in (*one.opts, *one.secondary_opts)} - {"--ban-extends"}
    assert [
        option for option in sorted(options) if option.startswith("--") and f"`{option}" not in _spaced(SANDBOX)
    ] == []
    for kind, parameters in {**faults.KINDS, **wsfaults.KINDS}.items():
        assert f"`{kind}`" in SANDBOX
        row = next(line for line in SANDBOX.splitlines() if f"`{kind}`" in line and line.startswith("|"))
        assert [name for name in parameters if name not in row] == []
    told = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", SANDBOX))
    assert {kind for kind in told if kind.startswith("ws-")} <= {*wsfaults.KINDS}


def _spaced(text: str) -> str:
    """Return the text with options that stand within one code span, `--rate-limit 30 --ban 60`, taken apart."""
    return text.replace(" --", "` `--")


def test_no_heading_is_left_of_a_command_that_is_gone() -> None:
    assert set(re.findall(r"^### `mdata ([a-z-]+)`$", COMMANDS_PAGE, re.MULTILINE)) == set(VISIBLE)


@pytest.mark.parametrize("setting", [one.name for one in SETTINGS])
def test_every_setting_stands_in_the_reference(setting: str) -> None:
    assert f"| `{setting}` |" in REFERENCE


def test_the_example_file_is_what_init_writes() -> None:
    assert (HERE / ".env.example").read_text() == env_file_text()


def test_every_exit_code_is_told() -> None:
    for text in (COMMANDS_PAGE, REFERENCE):
        assert all(f"| {one.text} | " in text for one in EXIT_CODES)


def keys_of(value: Any) -> set[str]:
    """Return all keys of a JSON value, but those that are names of commands."""
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    if isinstance(value, dict):
        return {key for key in value if key not in COMMANDS or key in {"gaps", "jobs"}}.union(
            *map(keys_of, value.values())
        )
    return set()


ANSWERS = [
    ["backfill"], ["backfill", "--dry-run"], ["update"], ["detect-gaps"], ["repair", "--dry-run"], ["repair"],
    ["stream", "--for", "1s"], ["cleanup", "--yes"], ["cleanup", "--dry-run"], ["verify"],
    ["verify", "--exchange"], ["verify", "--exchange", "--dry-run"],
    ["status"], ["gaps"],
    ["export", "-o", "all.csv"],
    ["gaps", "--revisions"], ["jobs"], ["logs"], ["config"], ["init"], ["symbols"], ["timers", "show"],
]  # fmt: skip


def test_every_key_of_every_answer_is_explained(folder: Folder) -> None:
    without_examples = re.sub(r"```.*?```", "", REFERENCE, flags=re.DOTALL)
    words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`\n]+)`", without_examples))))
    folder.settings |= {"TIMEFRAMES": "1h", "BACKFILL_DAYS": "5"}
    folder.run("backfill")
    folder.rows("UPDATE candles SET close = close * 0.999, low = 0.1 WHERE open_time % 86400000 = 0")
    folder.rows("DELETE FROM candles WHERE open_time % 86400000 = 3600000")
    unexplained = {}
    for arguments in ANSWERS:
        told = folder.run(*arguments, "--json")
        assert told.exit in {0, 3}, told.err
        unexplained[" ".join(arguments)] = keys_of(told.json) - words
    assert {command: keys for command, keys in unexplained.items() if keys} == {}


def test_every_file_that_the_map_of_the_code_names_is_there() -> None:
    named = re.findall(r"`((?:mdata|systemd)/[\w./]*)`", DEVELOPMENT)
    assert len(named) > 20
    assert [name for name in named if not (HERE / name).exists()] == []


def test_no_row_has_fallen_out_of_its_table() -> None:
    for path in [HERE / "README.md", *(HERE / "docs").glob("*.md")]:
        heads = re.findall(r"^(?<!\|\n)\|.*\n(.*)", prose(path), re.MULTILINE)
        assert [line for line in heads if not re.fullmatch(r"[| :-]+", line)] == [], path.name


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_the_docs_lead_somewhere() -> None:
    for path in [HERE / "README.md", HERE / "SECURITY.md", *(HERE / "docs").glob("*.md")]:
        for target, heading in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", prose(path)):
            page = path.parent / target if target else path
            assert page.exists(), f"{path.name} leads to {target}"
            assert not heading or heading in anchors(page), f"{path.name} leads to {target}#{heading}"


def test_every_boundary_is_shown_by_a_test_that_there_is() -> None:
    named = re.findall(r"`tests/([\w/]+\.py)::(\w+)`", (HERE / "SECURITY.md").read_text())
    assert len(named) > 30
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (HERE / "tests" / file).read_text()]
    assert missing == []


RELIABILITY = (HERE / "docs" / "reliability.md").read_text()


def test_every_fault_names_tests_that_there_are() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", RELIABILITY, re.MULTILINE)
    assert [int(number) for number, _ in rows] == [*range(1, 65)]
    for number, tests in rows:
        named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", tests)
        assert named, number
        for file, function in named:
            path = HERE / "tests" / file
            assert path.is_file(), (number, file)
            assert not function or f"\ndef {function}(" in path.read_text(), (number, file, function)
    # Whoever adds a file of faults names it here.
    files = {f"faults/{path.name}" for path in (HERE / "tests" / "faults").glob("test_*.py")}
    assert [name for name in sorted(files) if f"`{name}" not in RELIABILITY] == []
