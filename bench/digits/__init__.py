"""Campaigns on scikit-learn's 8 × 8 digits: small trainings that show what a method is worth.

A campaign is a module of `bench.digits.campaigns` with a function `run(seeds)` that gives a table.
`python -m bench.digits tuning` runs one, `make digits` runs all and writes docs/reference/digits.md.
"""
