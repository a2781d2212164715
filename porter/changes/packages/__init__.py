"""What differs between two generated packages: files, rewrites and hazards, matched by their code."""
