"""Trained models and multiple-choice tasks -> the likelihood of the right answers."""
