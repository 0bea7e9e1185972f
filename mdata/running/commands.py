"""The subcommands that are jobs, and how a run of one may end."""

# The subcommands that write to the store and leave rows in `ingestion_jobs`.
JOBS = ("backfill", "update", "detect-gaps", "repair", "stream", "cleanup", "verify", "publish")

# How a run has ended, or that it is still running, as the store records it.
RUN_OUTCOMES = ("running", "ok", "partial", "skipped", "failed", "interrupted")
