#!/bin/sh
# Validates what lies outside Python: Dockerfile, compose file, Kubernetes, systemd. `make check` runs it.
# $1: the folder of the environment's programs.
set -eu
bin=$1
"$bin/hadolint" Dockerfile
"$bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml
"$bin/yamllint" --strict -c deploy/checks/yamllint.yml docker-compose.yml deploy

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

custom="" plain=""
for file in deploy/k8s/base/*.yaml deploy/k8s/overlays/*/*.yaml; do
  case "$file" in
    */kustomization.yaml) ;;
    */scaledobject.yaml | */servicemonitor.yaml) custom="$custom $file" ;;
    *) plain="$plain $file" ;;
  esac
done
# The overlays as they are applied. Kubectl before 1.22 does not know all of our kustomizations.
if kubectl kustomize --help 2>/dev/null | grep -q -- --enable-helm; then
  for overlay in deploy/k8s/overlays/*; do
    kubectl kustomize "$overlay" > "$scratch/$(basename "$overlay").yaml"
  done
  custom="$custom $scratch/*.yaml" plain="$plain $scratch/*.yaml"
else
  echo "the overlays are checked file by file only: to build them takes kubectl 1.22 or newer" >&2
fi
# Resources of others have no schema here and are warned of: they are looked at below.
# shellcheck disable=SC2086
"$bin/kubernetes-validate" --quiet --strict $plain > "$scratch/said" 2>&1 || {
  cat "$scratch/said" >&2
  exit 1
}
if command -v systemd-analyze >/dev/null 2>&1; then
  # The program's path is that of the machine that it will run on.
  sed 's#^ExecStart=.*#ExecStart=/bin/true#' deploy/systemd/scraper-workers.service \
    > "$scratch/scraper-workers.service"
  systemd-analyze verify "$scratch/scraper-workers.service"
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
