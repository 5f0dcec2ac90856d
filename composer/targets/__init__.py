"""What a graph becomes: source, module, diagram, summary."""
