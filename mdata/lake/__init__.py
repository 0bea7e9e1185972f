"""The lake: what stores have published, as Delta tables in a folder or an object store."""
