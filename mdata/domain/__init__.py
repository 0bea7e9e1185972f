"""Pure decisions about candles, coverage, gaps and the rate budget; `now` is always an argument."""
