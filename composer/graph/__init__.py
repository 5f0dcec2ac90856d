"""From a checked spec to a graph: names resolved, connections laid, shapes inferred."""
