#!/bin/sh
# Installs the Debian packages that tests need and that are missing; elsewhere it says which.
# `make test` runs it; a test whose program is still missing skips, and fails in CI.
set -eu

# program:package
NEEDED="chromium:chromium"

missing=""
for pair in $NEEDED; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "Some tests will be skipped. They need:  apt-get install --no-install-recommends$missing"
  exit 0
fi

# Nothing that is installed may start by itself: tests start what they need, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
echo "Installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $missing >/dev/null
