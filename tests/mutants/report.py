"""What became of the mutants: killed, survived, explained, not tried; exit 1 if one survived without a word.

    report.py SESSION EXPLAINED

An explanation in `explained.toml` names the line as it is, the line as it was changed, and why that changes nothing.
"""

import sys
import tomllib
from collections import Counter
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult


def lines_of(result: WorkResult) -> tuple[str, str]:
    """Return the line that was changed, and what it was changed to."""
    found = {"-": "", "+": ""}
    for line in (result.diff or "").splitlines():
        if line[:1] in found and line[:3] not in {"---", "+++"}:
            found[line[0]] = found[line[0]] or line[1:].strip()
    return found["-"], found["+"]


def main(session: str, explained: str) -> int:
    why = {(one["line"], one["mutant"]) for one in tomllib.loads(Path(explained).read_text()).get("explained", [])}
    counts: Counter[str] = Counter()
    with use_db(session, WorkDB.Mode.open) as database:
        counts["not tried"] = sum(1 for _ in database.pending_work_items)
        for item, result in database.completed_work_items:
            where = f"{item.mutations[0].module_path}:{item.mutations[0].start_pos[0]}"
            if result.worker_outcome == WorkerOutcome.SKIPPED:
                counts["left out (types, decorators, further neighbours of an operator)"] += 1
            elif result.test_outcome != TestOutcome.SURVIVED:
                counts["killed"] += 1
            elif lines_of(result) in why:
                counts["survived, explained"] += 1
            else:
                counts["survived"] += 1
                before, after = lines_of(result)
                sys.stdout.write(f"{where}\n    - {before}\n    + {after}\n")
    for name in sorted(counts):
        sys.stdout.write(f"{counts[name]:>8,}  {name}\n")
    return 1 if counts["survived"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
