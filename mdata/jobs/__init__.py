"""One module per subcommand that does work, and nothing else; each returns a frozen result."""
