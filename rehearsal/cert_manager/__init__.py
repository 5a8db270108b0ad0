"""cert-manager: Certificates are issued and renewed, by real signatures, in cert-manager's own order of writes."""
