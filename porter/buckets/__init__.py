"""Plans of buckets for a dataset: which boundaries, what they cost, and the trainer's boundaries beside them."""
