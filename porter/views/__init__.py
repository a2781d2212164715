"""What people see: tables and diffs, drawn from a manifest or a rule; nothing here computes anything."""
