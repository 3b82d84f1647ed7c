"""The laws as pure array functions."""
