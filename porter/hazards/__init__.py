"""What would be slow or wrong on XLA: found in the rewritten sources, and accounted for."""
