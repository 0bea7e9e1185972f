"""Streaming: a connection in a thread of its own, REST in another, and how both are shown to a person."""
