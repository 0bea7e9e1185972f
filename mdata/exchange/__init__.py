"""The Bitfinex public API: the only place that speaks HTTP and WebSocket."""
