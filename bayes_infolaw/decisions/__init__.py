"""Posterior draws at a target -> the recipe to train on, what it is worth, and the next run."""
