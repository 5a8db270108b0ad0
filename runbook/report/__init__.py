"""How the runbook speaks: its plan, its events and its answers, to people on a terminal, to logs and to programs.

Notices (plan, progress, summary) go to stderr, data (JSON, what `check-…` and `history` answer) to stdout. Nothing
here decides anything about a run, and a reader that goes away never stops one.
"""
