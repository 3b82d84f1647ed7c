"""Run tables and plans: reading, mapping, checking, simulating."""
