"""The HTTP server: who may ask, and what is served under which path."""
