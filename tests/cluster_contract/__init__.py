"""What a cluster does, the same tests against the embedded one and a real one, so that the fake cannot drift.

Every behaviour of a cluster that another test or the runbook relies on has its test here. Where the two differ, the
real one is right.
"""
