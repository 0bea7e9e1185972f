"""A run of a job: what it gets, its row in the database, its requests, and its result."""
