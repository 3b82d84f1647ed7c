"""Text -> deduplicated, scored, bucketed and tokenised: the folder that training reads."""
