"""`python -m runbook` is the command `runbook`."""

from runbook.cli.main import main

main()
