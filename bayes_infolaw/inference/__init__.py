"""A log density -> draws."""
