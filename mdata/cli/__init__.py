"""The terminal: options become a job, its result a table or JSON and an exit code."""
