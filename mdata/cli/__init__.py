"""The terminal: options become a job, its result a table or JSON and an exit code."""

import gc

# Starting makes tens of thousands of objects that all stay; by default Python would look through them for
# garbage after every 700, which takes longer than the work of many a command.
gc.set_threshold(50_000)
