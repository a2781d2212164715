"""The files behind `utils`, each for one topic of what a backend does."""
