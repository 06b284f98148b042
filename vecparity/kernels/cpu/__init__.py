"""The C++ kernel of the `native` engine and of the schedule, built when the package is installed."""
