"""Loads the benches' fixtures and the printing of figures for every test, and the profile of Hypothesis."""

from hypothesis import settings

pytest_plugins = ["tests.bench.fixtures", "tests.figures"]

# How long an example takes tells of the machine and what else it does.
settings.register_profile("certlag", deadline=None)
settings.load_profile("certlag")
