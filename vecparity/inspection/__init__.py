"""What strategies answer before anything is trained, and what this machine can run."""
