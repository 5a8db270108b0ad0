"""Mutants of the pure core: its modules damaged one piece at a time, and whether their tests notice.

`python -m tests.mutants` runs all of them (docs/decisions/0025-mutants-of-the-core.md).
"""
