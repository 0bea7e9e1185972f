"""Fetches pages: what is wanted, what is known, what to request, and how an answer is stored."""
