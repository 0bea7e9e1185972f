"""mdata and what one would pick instead, on the same work: a month of two pairs from the same exchange."""
