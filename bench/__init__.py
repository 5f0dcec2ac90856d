"""Measures composer: how fast specs are checked and built, and how fast the built models run.

`python -m bench` prints one table per topic and writes `build/bench/results.json`.
"""
