"""Reading Python: trees, spans, names and what is known of a value."""
