"""The exchanges, a folder each: the only place that speaks to them, and that knows their habits."""
