"""Running a trainer of either side to its end, with the same data, start weights and noise, and comparing two runs."""
