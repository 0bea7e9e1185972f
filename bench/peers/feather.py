"""Print the candles of a file that freqtrade has written, as JSON; only its own environment can read one."""

import json
import sys

import pandas as pd

frame = pd.read_feather(sys.argv[1])
frame["date"] = frame["date"].astype("datetime64[ms, UTC]").astype("int64")
print(json.dumps(frame[["date", "open", "high", "low", "close", "volume"]].to_numpy().tolist()))
