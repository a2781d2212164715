"""What is known of upstream's code without running it: its symbols, and what its expressions and loops compute."""
