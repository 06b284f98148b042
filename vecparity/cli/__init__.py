"""The command `vecparity`."""
