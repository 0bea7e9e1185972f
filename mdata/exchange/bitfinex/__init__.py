"""Bitfinex's public API: its facts, and the code for its REST API, its WebSocket and its names."""
