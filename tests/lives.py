"""Print the figures of `make lives`: lives.py FOLDER."""

import json
import sys
from collections import Counter
from pathlib import Path

total: Counter[str] = Counter()
parts = sorted(Path(sys.argv[1]).glob("*.json"))
for path in parts:
    total.update(json.loads(path.read_text()))
for name, count in total.items():
    sys.stdout.write(f"{count:>12,}  {name}\n")
sys.stdout.write(f"{len(parts)} parts ended well\n")
