"""Loads the benches' fixtures and the printing of figures for every test."""

pytest_plugins = ["tests.bench.fixtures", "tests.figures"]
