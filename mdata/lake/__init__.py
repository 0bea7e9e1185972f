"""The lake: what is published of stores, as Delta tables in a folder or an object store."""
