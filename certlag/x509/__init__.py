"""X.509: certificates and chains as the model, and the names in them. Pure."""
