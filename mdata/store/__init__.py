"""The SQLite store: the only part of mdata that uses SQLite."""
