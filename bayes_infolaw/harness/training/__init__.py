"""Settings and a corpus -> a trained, evaluated model and its record, resumable at any step."""
