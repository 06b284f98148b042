#!/usr/bin/env bash
# The benchmark's command for n64-k8; arguments are passed on.
exec "${PYTHON:-python}" -m vecparity.eval --config n64-k8 "$@"
