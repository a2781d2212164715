"""A differential fuzzer: random small functions and modules, as written and as ported, on the CPU."""
