# What scripts/run and scripts/test share: packages, configuration, build. Sourced, not run.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DEBIAN_FRONTEND=noninteractive

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
if [[ ! -t 2 ]]; then say() { printf '%s\n' "$*" >&2; }; fi
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Names of the packages of scripts/packages that are not installed.
missing_packages() {
  local wanted installed end='^# For tests alone'
  [[ ${0##*/} == test ]] && end='no such line'
  wanted=$(sed -e "/$end/,\$d" -e 's/#.*//' -e '/^[[:space:]]*$/d' scripts/packages | sort -u)
  installed=$({
    dpkg-query -W -f='${binary:Package} ${db:Status-Status}\n' 2>/dev/null |
      sed -n -e 's/ installed$//p' | sed -e 's/:.*//'
    # Node.js that is not Debian's has an npm of its own, beside which Debian's cannot be installed.
    if command -v npm > /dev/null; then printf 'nodejs\nnpm\n'; fi
  } | sort -u)
  comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$installed")
}

# Runs apt-get as root; shows what it said only where it failed.
as_root=()
apt_get() {
  "${as_root[@]}" apt-get -q -o Dpkg::Use-Pty=0 "$@" > build/packages.log 2>&1 < /dev/null && return
  cat build/packages.log >&2
  return 1
}

install_packages() {
  command -v dpkg-query > /dev/null ||
    fail "this machine is no Debian: install what scripts/packages lists by its own means, then
run: cmake --preset release && cmake --build --preset release"
  local missing
  missing=$(missing_packages)
  [[ -z $missing ]] && return
  as_root=()
  if [[ $EUID -ne 0 ]]; then
    command -v sudo > /dev/null || fail "these packages are missing, and installing them takes root:
  apt-get install --no-install-recommends $(echo $missing)"
    as_root=(sudo DEBIAN_FRONTEND=noninteractive)
  fi
  say "Installing with apt-get (some minutes; log: build/packages.log): $(echo $missing)"
  mkdir -p build
  apt_get update || fail "apt-get update failed: see above; is this machine online?"
  # shellcheck disable=SC2086  # a name each
  apt_get install -y --no-install-recommends $missing ||
    fail "apt-get could not install what is missing: see above"
}

# Compilers that read libtorch's headers take about 1.5 GB each: no more of them than fit.
parallel_jobs() {
  local cores memory_kb fit
  cores=$(nproc)
  memory_kb=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null || true)
  fit=$((${memory_kb:-4000000} / 1500000))
  ((fit < 1)) && fit=1
  echo $((fit < cores ? fit : cores))
}

# build TARGET…: configures the release preset if need be and builds the targets.
build() {
  if [[ ! -f build/build.ninja ]]; then
    say "Configuring (log: build/configure.log)"
    mkdir -p build
    if ! cmake --preset release > build/configure.log 2>&1 < /dev/null; then
      cat build/configure.log >&2
      rm -f build/CMakeCache.txt
      fail "cmake could not configure the build: see above"
    fi
  fi
  local work
  work=$(ninja -C build -n "$@" 2>/dev/null | tail -n 1 || true)
  [[ $work == *"no work to do"* ]] && return
  say "Building with $(parallel_jobs) at a time (the first build takes some minutes)"
  ninja -C build -j "$(parallel_jobs)" "$@" >&2 < /dev/null || fail "the build failed: see above"
}
