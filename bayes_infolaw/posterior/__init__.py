"""Draws -> a saved fit, its verdict, predictions."""
