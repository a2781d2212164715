"""What the rules rewrite, and what looks like it, written in many ways."""
