"""Bayesian information scaling laws for pretraining data recipes."""
