"""Loads the benches' fixtures for every test."""

pytest_plugins = ["tests.bench.fixtures"]
