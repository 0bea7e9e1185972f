"""mdata and its alternatives, with the same work: a month of two pairs from the same exchange."""
