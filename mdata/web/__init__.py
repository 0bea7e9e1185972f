"""`mdata serve`: the store over HTTP, read only, by Datasette and a plugin of ours. Nothing else knows Datasette."""
