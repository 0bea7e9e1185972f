"""What streams: a connection in a thread of its own, REST beside it, and what a person sees of both."""
