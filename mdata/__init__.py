"""mdata keeps a complete local store of Bitfinex candles, and can prove that it is complete."""

__version__ = "0.1.0"
