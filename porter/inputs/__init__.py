"""What is read: an upstream, wherever it lies, and which of its files are ported."""
