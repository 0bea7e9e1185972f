"""What mdata costs, measured: every figure beside its baseline, in turn, in one run.

`make bench` runs all of it and writes `docs/performance.md`; `make bench-quick` leaves the large store out and
only prints. Absolute times are those of one machine; the ratios are what is promised.
"""

# Python's garbage collector as every command sets it.
import mdata.cli  # noqa: F401
