"""Rewriting: the rule book, the engine that applies it, and the account of every edit."""
