"""The command line: commands, options, sessions with a cluster, and where targets come from."""
