"""One campaign a file, called as its file: `run(seeds)` trains and gives a table."""
