#!/usr/bin/env bash
# The benchmark's command for n50-k8; arguments are passed on.
exec "${PYTHON:-python}" -m vecparity.eval --config n50-k8 "$@"
