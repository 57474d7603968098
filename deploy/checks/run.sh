#!/bin/sh
# Validates what lies outside Python: Dockerfile, compose file, Kubernetes, systemd. `make check` runs it.
# $1: the folder of the environment's programs.
set -eu
bin=$1
"$bin/hadolint" Dockerfile
"$bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec docker-compose.yml
"$bin/yamllint" --strict -c deploy/checks/yamllint.yml docker-compose.yml deploy

custom="" plain=""
for file in deploy/k8s/base/*.yaml deploy/k8s/overlays/*/*.yaml; do
  case "$file" in
    */kustomization.yaml) ;;
    */scaledobject.yaml | */servicemonitor.yaml) custom="$custom $file" ;;
    *) plain="$plain $file" ;;
  esac
done
# shellcheck disable=SC2086
"$bin/kubernetes-validate" --quiet --strict $plain
if command -v systemd-analyze >/dev/null 2>&1; then
  # The program's path is that of the machine that it will run on.
  sed 's#^ExecStart=.*#ExecStart=/bin/true#' deploy/systemd/scraper-workers.service \
    > "${TMPDIR:-/tmp}/scraper-workers-check.service"
  systemd-analyze verify "${TMPDIR:-/tmp}/scraper-workers-check.service"
fi

# The schemas of KEDA and the Prometheus operator come from npm.
if ! command -v npm >/dev/null 2>&1; then
  echo "KEDA's and Prometheus' resources are not checked: that needs npm (Node.js)" >&2
  [ -z "${CI:-}" ] || exit 1
  exit 0
fi
cmp -s deploy/checks/package.json deploy/checks/node_modules/ready 2>/dev/null || {
  (cd deploy/checks && npm install --silent --no-audit --no-fund --no-package-lock)
  cp deploy/checks/package.json deploy/checks/node_modules/ready
}
# shellcheck disable=SC2086
node deploy/checks/check.mjs $custom
