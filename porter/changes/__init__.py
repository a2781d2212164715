"""What differs between upstream, the package and the next generate, and what people decided about it."""
