"""Reading the store from Python: candles, and what is known of them, in the shapes that other libraries take."""
