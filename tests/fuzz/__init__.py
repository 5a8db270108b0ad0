"""Fuzzing of all that reads what others wrote: `make fuzz` for an hour, a seeded sample in the tests.

What an input did (`came out`) is known in few words; an input that did what none did before is kept in `corpus/` and
changed further, so that chance finds its way into the code. What it must never do is told by `subjects`.
"""
