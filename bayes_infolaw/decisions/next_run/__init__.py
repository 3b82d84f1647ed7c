"""A fit and runs that could be paid for -> which of them moves the decision, or none."""
