"""`python -m mdata` is the same command line as `mdata`."""

from mdata.cli.main import run

run()
