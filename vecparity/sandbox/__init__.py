"""Where a stranger's code runs: a contained fork server, its workers, and the protocol to them."""
