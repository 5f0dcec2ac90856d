"""The command line: `composer build spec.yaml` and its kin.

What a command makes goes to stdout, what is wrong to stderr. Exit codes: 0 all well, 1 the spec has
errors, 2 wrong usage or a file that cannot be read or written, 3 a tool is missing that is needed
(Graphviz), 101 a fault of composer itself.
"""

from .app import main

__all__ = ["main"]
