"""One module for each subcommand, and nothing else; `mdata.cli.main` imports the one that is called."""
