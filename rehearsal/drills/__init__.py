"""Drills: what may go wrong on the night of a restart, made to happen on an embedded cluster, and what to do then."""
