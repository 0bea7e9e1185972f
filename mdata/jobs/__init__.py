"""One module per subcommand that does work; each returns a frozen result."""

# The subcommands that write what the exchange said, and those that leave rows in `ingestion_jobs`.
WRITERS = ("backfill", "update", "detect-gaps", "repair", "stream")
JOBS = (*WRITERS, "cleanup", "verify")

# How a run is noted to have ended, or that it is at work.
RUN_OUTCOMES = ("running", "ok", "partial", "skipped", "failed", "interrupted")
