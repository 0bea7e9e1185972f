"""The command line: turns options into a job, and its result into a table or JSON and an exit code."""

import gc
import os
import signal
import sys

# Start-up creates tens of thousands of permanent objects. By default Python scans them for garbage after every 700
# allocations, which takes longer than many commands.
gc.set_threshold(50_000)

# Until `signals` is active, Ctrl-C would make Python print a traceback.
if os.path.basename(sys.argv[0]) == "mdata":  # noqa: PTH119 - pathlib costs a start more than this does
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
