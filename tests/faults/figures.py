"""Write what `make faults` has measured into docs/reliability.md, from the report of its tests.

figures.py report.xml docs/reliability.md
"""

import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

BEGIN, END = "<!-- begin: make faults -->", "<!-- end: make faults -->"
COMMAND = "make faults"


class Case(NamedTuple):
    """A test that has run: its file, its function, whether it held, and the figures that it recorded."""

    file: str
    name: str
    held: bool
    skipped: bool
    figures: tuple[tuple[str, str], ...]


Find = Callable[[Sequence[Case]], str]


def read(report: Path) -> list[Case]:
    """Return the tests of a report in JUnit's form."""
    return [
        Case(
            one.get("classname", "").removeprefix("tests.").replace(".", "/"),
            one.get("name", "").partition("[")[0],
            one.find("failure") is None and one.find("error") is None,
            one.find("skipped") is not None,
            tuple((kept.get("name", ""), kept.get("value", "")) for kept in one.iter("property")),
        )
        for one in ET.parse(report).iter("testcase")
    ]


def numbers(cases: Sequence[Case], name: str) -> list[float]:
    """Return the numbers that were recorded under a name; of `12 of 40` the first."""
    return [float(value.split()[0]) for case in cases for kept, value in case.figures if re.fullmatch(name, kept)]


def total(name: str) -> Find:
    return lambda cases: f"{sum(numbers(cases, name)):,.0f}"


def longest(name: str, unit: str) -> Find:
    return lambda cases: f"{max(found):,.2f} {unit}" if (found := numbers(cases, name)) else "not measured"


def count(file: str) -> Find:
    return lambda cases: f"{sum(not case.skipped and case.file.startswith(file) for case in cases)}"


def broken(cases: Sequence[Case]) -> str:
    """Every test compares the store with the exchange's ledger and looks for a traceback: what failed, failed so."""
    failed = sorted(f"{case.file}::{case.name}" for case in cases if not case.held)
    return f"see {', '.join(failed)}" if failed else "0"


FIGURES: dict[str, Find] = {
    "processes killed (`kill -9`), at random instants and at every write": total("kills"),
    "SIGINT, SIGTERM and SIGHUP, some of them inside a transaction": total("signals|SIGTERM inside a transaction"),
    "system calls on the store's files that failed, or in which the process died": total("calls that failed.*"),
    "power cuts": total("power cuts"),
    "stopped processes that held a lock or slot which a command needed": count("faults/test_07_"),
    "hostile answers from the exchange": total("hostile answers"),
    "hostile visitors of `serve`, single or many": count("faults/test_63_"),
    "backups restored, by `mdata restore` and by `cp`": total(".*, by (cp|mdata restore)"),
    "rate-limit files with arbitrary content": total("files of the budget"),
    "rows lost, stores damaged without notice, tracebacks": broken,
    "longest time without output of a waiting command": longest("longest silence of a waiting command.*", "s"),
    "longest overrun of `--max-runtime`": longest("longest overrun of --max-runtime.*", "s"),
    "longest reaction to a signal": longest("longest answer to a signal.*", "s"),
    "longest reaction to a second signal": longest("longest second signal.*", "s"),
    "peak memory of a job, whatever the exchange answers": longest("peak memory.*", "MiB"),
}


def of_each_test(cases: Sequence[Case]) -> list[str]:
    """Return a row for each test that has recorded figures: all that its variants have recorded."""
    found: dict[str, dict[str, list[str]]] = {}
    for case in cases:
        for name, value in case.figures:
            kept = found.setdefault(f"{case.file}.py::{case.name}", {}).setdefault(name, [])
            if value not in kept:
                kept.append(value)
    told = {
        test: "; ".join(f"{name}: {', '.join(values)}" for name, values in kept.items())
        for test, kept in found.items()
    }
    return [f"| `{test}` | {text.replace('|', '/')} |" for test, text in sorted(told.items())]


def table(cases: Sequence[Case]) -> str:
    ran = [case for case in cases if not case.skipped]
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    rows = [f"| {what} | {find(ran)} |" for what, find in FIGURES.items()]
    intro = f"Measured by `{COMMAND}` on {when}: {len(ran):,} tests, {len(cases) - len(ran)} skipped."
    summary = ["| what | how many or how long |", "|---|---|", *rows]
    heading = "| test | figures that it recorded; several numbers come from several variants of the test |"
    each = [heading, "|---|---|", *of_each_test(ran)]
    return "\n".join((BEGIN, intro, "", *summary, "", *each, END))


def main(report: Path, page: Path) -> None:
    text, new = page.read_text(encoding="utf-8"), table(read(report))
    page.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: new, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
