"""Upstream's whole stack for speaking, with small random models in the place of those that are downloaded."""
