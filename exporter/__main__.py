"""`python -m exporter` is the command `certlag-exporter`."""

from exporter.cli import main

main()
