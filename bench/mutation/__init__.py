"""Mutation testing of the judge: faults made by machine, at random, all over an emitted package."""
