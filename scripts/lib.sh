# Functions of scripts/demo, scripts/test, scripts/picture, scripts/package and .ci/run, sourced by
# bash after `set -euo pipefail`.
#
# A script declares what it needs with need_command, need_compiler and need_certificates.
# install_missing then installs what is missing, and prints only if there is something to install.

# Output is compared below, so it must not depend on the user's language.
export LC_ALL=C.UTF-8

missing_commands=()
missing_packages=()

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

add_missing() { # name packages…
    missing_commands+=("$1")
    shift
    local package
    for package in "$@"; do
        case " ${missing_packages[*]-} " in
            *" $package "*) ;;
            *) missing_packages+=("$package") ;;
        esac
    done
}

# Looks for a program file, since tests start programs without a shell: bash's own `kill` does not
# count.
need_command() { # command package
    [ -n "$(type -P "$1")" ] || add_missing "$1" "$2"
}

# A library of a program that is extracted.
need_library() { # library package
    /sbin/ldconfig -p | grep -qF "$1" || add_missing "$1" "$2"
}

# SQLite and the cryptography of TLS are compiled from C and need the headers of the C library.
need_compiler() {
    printf '#include <stdlib.h>\n' | cc -E - >/dev/null 2>&1 || add_missing "a C compiler" gcc libc6-dev
}

# Cargo fetches the dependencies over HTTPS.
need_certificates() {
    [ -e /etc/ssl/certs/ca-certificates.crt ] || add_missing "CA certificates" ca-certificates
}

# Checks what a build needs. Distributions have no Rust that is new enough, so a missing Rust is an
# error instead of an installation.
need_build() {
    need_compiler
    need_certificates
    # Shells that read no profile (sudo, CI) lack rustup's directory in PATH.
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
    local required installed
    required=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
    command -v cargo >/dev/null ||
        fail "Rust is missing; install version $required or newer from https://rustup.rs and run this again"
    installed=$(cd "$root" && cargo --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$required" "$installed" | sort -V | head -n 1)" = "$required" ] ||
        fail "Rust $installed is too old; install version $required or newer (\`rustup update stable\`) and run this again"
}

install_missing() {
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    local list as_root=() log
    list=$(printf ', %s' "${missing_commands[@]}")
    echo "Missing: ${list:2}"
    command -v apt-get >/dev/null ||
        fail "this system has no apt-get; install the packages in another way and run this again"
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
        command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; } ||
            fail "run \`apt-get install ${missing_packages[*]}\` as root, then this again"
    fi
    echo "Installing with ${as_root[*]:+sudo }apt-get: ${missing_packages[*]}"
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update -q &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing_packages[@]}"; } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        fail "apt-get failed, see its output above"
    fi
    rm -f "$log"
    missing_commands=()
    missing_packages=()
}

# Extracts a program from a Debian package without installing it. The packages of promtool, nginx and
# automount would also start a server.
extract_command() { # command package
    local directory=$root/target/tools
    # Some of them are in /usr/sbin, which ordinary users of Debian do not have in their PATH.
    PATH=$PATH:/usr/sbin:$directory/usr/bin:$directory/usr/sbin
    [ -z "$(type -P "$1")" ] || return 0
    echo "Extracting $1 from the package $2"
    mkdir -p "$directory"
    (
        cd "$directory"
        apt-get download -q "$2" >/dev/null 2>&1 ||
            { sudo_if_needed apt-get update -q >/dev/null && apt-get download -q "$2" >/dev/null; }
        dpkg-deb --extract "$2"_*.deb .
    ) || fail "$1 is missing; install it in another way and run this again"
}

sudo_if_needed() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Every mount needs the device: fusermount3 receives an open one.
need_fuse_device() {
    [ -e /dev/fuse ] || fail "/dev/fuse is missing; load the kernel's module with \`modprobe fuse\` as root," \
        "or in a container give it \`--device /dev/fuse --cap-add SYS_ADMIN\`"
    [ -r /dev/fuse ] && [ -w /dev/fuse ] ||
        fail "/dev/fuse may not be opened by $(id -un); run this as root, or \`chmod 666 /dev/fuse\` as root first"
}

# Prints the path of the release binary, after building it.
build_release() {
    local quiet=()
    [ -t 2 ] || quiet=(--quiet)
    (cd "$root" && cargo build --release --locked "${quiet[@]}" --message-format=json-render-diagnostics) |
        sed -n 's/.*"executable":"\([^"]*\/meetfs\)".*/\1/p' | tail -n 1
}

is_mounted() { # directory
    # The table writes a space as \040.
    grep -aqF " ${1// /\\040} " /proc/self/mountinfo
}
