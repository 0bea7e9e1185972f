"""Bitfinex's public API: its facts, and all that knows its REST, its WebSocket and its names."""
