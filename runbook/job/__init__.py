"""A run as a Job in the cluster: made, followed, and read back."""
