"""The law at a target -> optimal recipes."""
