"""Loads the benches' fixtures, the figures and the samples of matrices, and the profile of Hypothesis."""

from hypothesis import settings

pytest_plugins = ["tests.bench.fixtures", "tests.figures", "tests.sampling"]

# How long an example takes tells of the machine and what else it does.
settings.register_profile("certlag", deadline=None)
settings.load_profile("certlag")
