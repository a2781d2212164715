"""Faults that the judge has to see, and what plants them."""
