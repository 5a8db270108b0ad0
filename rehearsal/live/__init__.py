"""The embedded cluster on sockets and on the system's clock."""
