#!/usr/bin/env bash
# Brings what the tests need besides Python and Node: a Chromium and the programs of a PostgreSQL server.
#
#   tests/provision.sh [PLAYWRIGHT]      PLAYWRIGHT: Playwright's command line, the last resort for Chromium
#
# CHROMIUM names a browser of your own. Without root the tests on PostgreSQL are skipped where it is not installed.
set -euo pipefail
playwright=${1:-playwright}

install() {
  echo "Installing $* with apt-get" >&2
  [ -n "${updated:-}" ] || apt-get update -qq
  updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

has_chromium() {
  local candidate
  for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    # Ubuntu's chromium-browser may be an empty shell that asks for snap, so it has to answer.
    [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1 && return
  done
  return 1
}
if [ -n "${CHROMIUM:-}" ] && ! "$CHROMIUM" --version >/dev/null 2>&1; then
  echo "CHROMIUM=$CHROMIUM does not start; correct or unset it." >&2
  exit 2
fi
if ! has_chromium; then
  may_install && install chromium fonts-dejavu-core || true
  if ! has_chromium && ! "$playwright" install chromium >&2; then
    echo "Chromium is needed for the tests in a browser: install it, or set CHROMIUM=/path/to/chromium, and try again." >&2
    exit 2
  fi
fi

has_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }
if ! has_postgresql; then
  if may_install; then
    # The tests start a server of their own; Debian would start another one.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/xda-tests.conf
    install postgresql
  else
    echo "PostgreSQL is not installed: the tests on it will be skipped (Debian, Ubuntu: sudo apt install postgresql)." >&2
  fi
fi
