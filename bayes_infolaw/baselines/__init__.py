"""The simpler laws that every prediction is compared with."""
