"""One run, trained here and now, into a study's folder: beside what sweeps put there."""
