"""Measures what mdata costs: every figure and its baseline, alternately, in one run.

`make bench` runs all of it and writes `docs/performance.md`; `make bench-quick` leaves the large store out and only
prints. Absolute times only hold for one machine; the goals are ratios.
"""

# Sets up Python's garbage collector as every command does.
import mdata.cli  # noqa: F401
