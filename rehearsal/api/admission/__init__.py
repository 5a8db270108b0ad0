"""What a write meets before it is stored: defaults, owners of fields, policies, quotas. Pure."""
