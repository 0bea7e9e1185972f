"""Reading the store from Python: candles with the ledger's verdict, also as objects of other libraries."""
