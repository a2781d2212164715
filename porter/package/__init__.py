"""The package as it is emitted, recorded in port.json and written to disk."""
