"""What a command is given: options, the way to the cluster, and where its targets come from."""
