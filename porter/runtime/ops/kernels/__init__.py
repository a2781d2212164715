"""Kernels for a TPU, written in Pallas: only imported where jax is, and a graph for a TPU is traced."""
