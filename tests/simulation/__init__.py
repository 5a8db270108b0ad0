"""A simulated year: the embedded cluster on a fake clock, the exporter, operators and their misfortunes, by chance.

`walk` lives through it from event to event. After each, `truth` says what the gauges must say, from what was issued and
what each container loaded, and `promises` holds every write of the runbook against its promises. All chance comes from
one seed, so a walk that fails can be walked again: `python -m tests.simulation --seed N`.
"""
