"""What this machine has: packages, drivers, chips; and what to type for what is missing."""
