#!/usr/bin/env bash
# Brings what the tests need besides Python and Node: a Chromium, whose path it prints, and the programs of a PostgreSQL server.
#
#   tests/provision.sh [PYTHON]      PYTHON: one that has Playwright, the last resort for Chromium
#
# CHROMIUM names a browser of your own. Without root the tests on PostgreSQL are skipped where it is not installed.
set -euo pipefail
python=${1:-python3}

say() { echo "$*" >&2; }
may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
install() {
  say "Installing $* with apt-get"
  [ -n "${updated:-}" ] || apt-get update -qq >&2
  updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_chromium() {
  local candidate
  for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    # Ubuntu's chromium-browser may be an empty shell that asks for snap, so it has to answer.
    if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}
download_chromium() {
  say "Downloading Chromium with Playwright"
  "$python" -m playwright install chromium >&2 || return 1
  "$python" -c 'from playwright.sync_api import sync_playwright
with sync_playwright() as playwright: print(playwright.chromium.executable_path)'
}
if [ -n "${CHROMIUM:-}" ] && ! "$CHROMIUM" --version >/dev/null 2>&1; then
  say "CHROMIUM=$CHROMIUM does not start; correct or unset it."
  exit 2
fi
if ! find_chromium; then
  if may_install; then install chromium fonts-dejavu-core || true; fi
  find_chromium || download_chromium || {
    say "Chromium is needed for the tests in a browser: install it, or set CHROMIUM=/path/to/chromium, and try again."
    exit 2
  }
fi

has_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }
if ! has_postgresql; then
  if may_install; then
    # The tests start a server of their own; Debian would start another one.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/xda-tests.conf
    install postgresql
  else
    say "PostgreSQL is not installed: the tests on it will be skipped (Debian, Ubuntu: sudo apt install postgresql)."
  fi
fi
