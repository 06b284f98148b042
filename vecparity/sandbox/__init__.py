"""The sandbox that runs strategies: a contained fork server, its workers, and the protocol between them."""
