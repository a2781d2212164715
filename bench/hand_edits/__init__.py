"""Made-up texts that two people edit at random, and a judge that knows nothing of how they are merged."""
