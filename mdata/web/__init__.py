"""`mdata serve`: the store over HTTP, read-only, with Datasette and our plugin. Only this package uses Datasette."""
