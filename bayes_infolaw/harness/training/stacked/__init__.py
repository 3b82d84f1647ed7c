"""Runs of one shape as one program, each with the record that it would have alone."""
