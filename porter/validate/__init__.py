"""The judge: runs an emitted package against its upstream, and counts what its graphs cost."""
