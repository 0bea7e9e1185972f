"""One module for each subcommand that does work, and nothing else; each returns a frozen result."""
