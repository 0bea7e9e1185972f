"""A run of a job: what it is given, its row in the database, its requests, and its result."""
