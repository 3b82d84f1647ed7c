"""Held-out runs -> scores."""
