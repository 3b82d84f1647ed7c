"""Arrays and fits -> figures (matplotlib; extra `plots`)."""
