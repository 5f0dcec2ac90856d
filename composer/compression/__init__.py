"""Making models smaller: the passes of `compress`, their report, and the files they leave."""
