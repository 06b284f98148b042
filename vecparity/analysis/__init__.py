"""Which strategy does better, and how sure that is; evaluations as data frames."""
