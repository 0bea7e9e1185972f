"""One module per subcommand that does work; each returns a frozen result."""
