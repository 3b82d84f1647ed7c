"""Sweeps: a plan of many runs -> immutable records and the study's table."""
