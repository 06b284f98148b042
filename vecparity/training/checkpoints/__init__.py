"""Checkpoint files from which a training resumes: written completely, locked, and checked when read."""
