#!/usr/bin/env bash
# The benchmark's command for n32-k8. Evaluates $STRATEGY, or custom_strategy.py of the current directory, with $SEED,
# $OUTPUT_DIR and $PROTOCOL where they are set. Arguments are those of vecparity eval, and win over the variables.
exec "${PYTHON:-python}" -m vecparity.cli.drop_in --config n32-k8 "$@"
