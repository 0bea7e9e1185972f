"""The terminal: options become a job, its result a table or JSON and an exit code."""

import gc
import os
import signal
import sys

# Starting makes tens of thousands of objects that all stay; by default Python would look through them for
# garbage after every 700, which takes longer than the work of many a command.
gc.set_threshold(50_000)

# Until a command has begun, and with it what `signals` does, Ctrl-C would make Python print a traceback.
if os.path.basename(sys.argv[0]) == "mdata":  # noqa: PTH119 - pathlib costs a start more than this does
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
