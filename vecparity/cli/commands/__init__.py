"""One module for each command, loaded on demand."""
