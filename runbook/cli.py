"""The command `runbook`. So far it only tells its version: its subcommands are not written yet."""

import click

from exporter.version import VERSION


@click.group(name="runbook", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="runbook")
def main() -> None:
    """Restart what presents an old certificate, without losing work."""
