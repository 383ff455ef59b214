"""The life of a run: start, checkpoint, stop, resume, sweep; what is trained is in methods/."""
