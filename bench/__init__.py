"""Measures composer: how fast specs are checked and built, and how fast the built models run.

`python -m bench` prints one table per topic and writes `build/bench/results.json`.
"""

import os

# The profiler, which counts memory, writes a line to the terminal whenever it starts and stops.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
