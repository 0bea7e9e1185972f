"""One module per subcommand that does work; each returns a frozen result."""

# The subcommands that write what the exchange said, and those that leave rows in `ingestion_jobs`.
WRITERS = ("backfill", "update", "detect-gaps", "repair", "stream")
JOBS = (*WRITERS, "cleanup")
