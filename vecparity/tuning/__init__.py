"""A strategy's parameters: trials that look for the best values, and sweeps that map what values do."""
