"""Pictures of a fit, a prediction and a recipe."""
