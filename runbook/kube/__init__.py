"""Workloads and pods as a run sees them, the predicates on them, and the only module that changes a cluster."""
