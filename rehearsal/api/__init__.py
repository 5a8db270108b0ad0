"""The API server: what is stored, who may change it how, and what a client is told. Without I/O or clocks."""
