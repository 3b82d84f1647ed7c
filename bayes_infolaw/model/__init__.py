"""A model file and a table -> a log density both back ends share."""
