"""The life of a run: start, checkpoint, stop, resume, sweep, in memory or in a directory; what is trained is in methods/."""
