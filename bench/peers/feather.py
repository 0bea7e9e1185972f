"""Print the candles of a freqtrade file as JSON; only freqtrade's environment can read it."""

import json
import sys

import pandas as pd

frame = pd.read_feather(sys.argv[1])
frame["date"] = frame["date"].astype("datetime64[ms, UTC]").astype("int64")
print(json.dumps(frame[["date", "open", "high", "low", "close", "volume"]].to_numpy().tolist()))
