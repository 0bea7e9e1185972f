"""Backtest four-hour candles of two pairs, and stop unless both pairs are complete."""

import sys

from backtesting import Backtest, Strategy
from backtesting.lib import crossover
from backtesting.test import SMA

import mdata


class Cross(Strategy):
    def init(self):
        self.fast, self.slow = (self.I(SMA, self.data.Close, n) for n in (10, 30))

    def next(self):
        if crossover(self.fast, self.slow):
            self.buy()
        elif crossover(self.slow, self.fast):
            self.position.close()


for pair in ("BTCUSD", "ETHUSD"):
    candles = mdata.open().candles(pair, "1m", *sys.argv[1:3]).require_complete().resample("4h").fill()
    frame = candles.pandas().set_index("time").rename(columns=str.title)
    result = Backtest(frame, Cross, cash=10_000_000, commission=0.002, finalize_trades=True).run()
    print(pair, len(frame), result["# Trades"], f"{result['Return [%]']:.2f} %")
