# Brings a checkout from nothing to built. Sourced by bin/demo and bin/test; works in any POSIX shell, needs no root,
# writes only inside the checkout (a system package manager is asked for nats-server and psql, and only where that is
# allowed). Everything it says goes to standard error. Expects $root: the checkout's absolute path.

node_version_least=20.19.0
pnpm_version=10.34.8
tools=$root/.tools

say() {
  echo "$*" >&2
}

# step "what" command...: runs it, says what and how long; on failure shows its output and ends.
step() {
  step_what=$1
  shift
  step_start=$(date +%s)
  printf '  %-44s ' "$step_what" >&2
  step_log=$(mktemp "${TMPDIR:-/tmp}/flotilla-step.XXXXXX")
  if "$@" >"$step_log" 2>&1; then
    say "$(($(date +%s) - step_start)) s"
    rm -f "$step_log"
  else
    step_code=$?
    say "failed (exit $step_code)"
    sed 's/^/    /' "$step_log" | tail -n 60 >&2
    rm -f "$step_log"
    return "$step_code"
  fi
}

# version_at_least HAVE WANT: dotted numbers.
version_at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" = "$2" ]
}

need_node() {
  if ! command -v node >/dev/null 2>&1; then
    say "Node.js is not on PATH. Install version $node_version_least or newer (https://nodejs.org) and try again."
    exit 1
  fi
  node_version=$(node --version | sed 's/^v//')
  if ! version_at_least "$node_version" "$node_version_least"; then
    say "Node.js $node_version is too old: $node_version_least or newer is needed (https://nodejs.org)."
    exit 1
  fi
}

install_pnpm() {
  npm install --prefix "$tools/pnpm" --no-save --no-audit --no-fund --loglevel=error "pnpm@$pnpm_version"
}

# Puts the pinned pnpm first on PATH.
need_pnpm() {
  if command -v pnpm >/dev/null 2>&1 && [ "$(cd / && pnpm --version 2>/dev/null)" = "$pnpm_version" ]; then
    return
  fi
  PATH=$tools/pnpm/node_modules/.bin:$PATH
  export PATH
  if [ "$(cd / && pnpm --version 2>/dev/null || true)" = "$pnpm_version" ]; then return; fi
  if ! command -v npm >/dev/null 2>&1; then
    say "npm is not on PATH; it comes with Node.js and is needed once, to fetch pnpm $pnpm_version."
    exit 1
  fi
  mkdir -p "$tools/pnpm"
  step "pnpm $pnpm_version into .tools (npm)" install_pnpm || exit 1
}

lock_sum() {
  cat "$root/pnpm-lock.yaml" "$root/pnpm-workspace.yaml" "$root"/package.json "$root"/packages/*/package.json "$root"/e2e/package.json | cksum
}

install_dependencies() {
  (cd "$root" && CI=true pnpm install --frozen-lockfile --config.confirm-modules-purge=false)
}

need_dependencies() {
  install_stamp=$root/node_modules/.flotilla-install
  if [ -f "$install_stamp" ] && [ "$(cat "$install_stamp")" = "$(lock_sum)" ]; then return; fi
  need_pnpm
  step "dependencies (pnpm install --frozen-lockfile)" install_dependencies || exit 1
  lock_sum >"$install_stamp"
}

sources_newer_than() {
  [ -n "$(find "$root"/packages/*/src "$root"/packages/*/proto "$root"/packages/*/package.json \
    "$root"/packages/*/tsconfig.json "$root/tsconfig.base.json" "$root/tsconfig.json" \
    -newer "$1" -type f 2>/dev/null | head -n 1)" ]
}

build_all() {
  (cd "$root" && pnpm run build)
}

need_build() {
  build_stamp=$root/packages/cli/dist/.built
  if [ -f "$build_stamp" ] && [ -f "$root/packages/cli/dist/main.js" ] && ! sources_newer_than "$build_stamp"; then
    return
  fi
  need_pnpm
  build_started=$(mktemp "${TMPDIR:-/tmp}/flotilla-build.XXXXXX")
  if ! step "build (generated code, tsc)" build_all; then
    rm -f "$build_started"
    return 1
  fi
  mkdir -p "$root/packages/cli/dist"
  touch -r "$build_started" "$build_stamp" # as of the start: a file saved during the build is built next time
  rm -f "$build_started"
}

find_nats() {
  for candidate in "${FLOTILLA_NATS_SERVER:-}" "$(command -v nats-server 2>/dev/null || true)" \
    /usr/sbin/nats-server /usr/local/sbin/nats-server /usr/local/bin/nats-server /opt/homebrew/bin/nats-server; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      nats_server=$candidate
      return 0
    fi
  done
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

may_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }
}

apt_install_nats() {
  as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y nats-server
}

# Sets $nats_server, or leaves it empty where there is none and none can be had.
need_nats() {
  nats_server=
  if find_nats; then return; fi
  if command -v apt-get >/dev/null 2>&1 && may_be_root; then
    step "nats-server (apt-get)" apt_install_nats || true
  elif command -v dnf >/dev/null 2>&1 && may_be_root; then
    step "nats-server (dnf)" as_root dnf install -y nats-server || true
  elif command -v apk >/dev/null 2>&1 && may_be_root; then
    step "nats-server (apk)" as_root apk add nats-server || true
  elif command -v brew >/dev/null 2>&1; then
    step "nats-server (brew)" brew install nats-server || true
  fi
  find_nats || say "  nats-server is not here and no package manager could bring it"
}

apt_install_psql() {
  as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y postgresql-client
}

# pgbench lies in the server's package. The server is not wanted here, so the package is unpacked, not installed.
apt_unpack_pgbench() {
  pg_major=$(psql --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
  mkdir -p "$tools/postgresql" && cd "$tools/postgresql" &&
    as_root apt-get update && apt-get download "postgresql-$pg_major" &&
    dpkg -x postgresql-*.deb . && rm -f postgresql-*.deb &&
    mkdir -p bin && ln -sf "../usr/lib/postgresql/$pg_major/bin/pgbench" bin/pgbench
}

# The tests drive the gateway with PostgreSQL's own clients; they say so loudly where these are missing.
need_postgres_clients() {
  PATH=$tools/postgresql/bin:$PATH
  if ! psql --version >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && may_be_root; then
    step "psql (apt-get)" apt_install_psql || true
  fi
  if ! pgbench --version >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && may_be_root; then
    step "pgbench (apt-get download)" apt_unpack_pgbench || true
  fi
  psql --version >/dev/null 2>&1 && pgbench --version >/dev/null 2>&1 ||
    say "  psql or pgbench is missing and could not be brought: install PostgreSQL's clients"
}
