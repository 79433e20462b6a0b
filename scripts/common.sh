# What the test scripts share. They source this file in the root of the project.
#
# Sets `target`, the absolute path of cargo's target directory.

target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac

say() { printf '\n==> %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Installs Debian packages. Fails without apt or without the permission to use it.
apt_install() {
    have apt-get || return 1
    local as=()
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null && as=(sudo) || return 1; }
    say "apt-get install $*"
    mkdir -p "$target"
    # Scripts run side by side, and apt-get does not wait for another update.
    (
        flock 9
        ${as[@]+"${as[@]}"} apt-get update -qq >/dev/null &&
            ${as[@]+"${as[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null
    ) 9>"$target/apt.lock"
}

# Prints the first Python whose sqlite3 module can load extensions (many builds of Python cannot).
loading_python() {
    local python
    for python in python3 /usr/bin/python3 /opt/homebrew/bin/python3 /usr/local/bin/python3; do
        if "$python" -c 'import sqlite3; sqlite3.Connection.enable_load_extension' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# As `loading_python`. Installs it if there is none, and says so if that fails.
need_loading_python() {
    loading_python || { apt_install python3 python3-venv && loading_python; } || {
        echo "$0 needs a Python 3 whose sqlite3 module has enable_load_extension, such as Debian's or Homebrew's" >&2
        return 1
    }
}

# python_identity PYTHON: prints its version and place. An environment works only with the Python that made it, and a cache of CI keeps
# environments of another image.
python_identity() { "$1" -c 'import sys; print(sys.version, sys.base_prefix)'; }

# python_environment PYTHON DIRECTORY: makes an empty Python environment there.
python_environment() {
    # Debian's Python makes environments with pip only if python3-venv is installed.
    "$1" -m venv --clear "$2" >/dev/null 2>&1 || { apt_install python3-venv && "$1" -m venv --clear "$2"; } || {
        echo "$0: $1 cannot make a Python environment: install python3-venv" >&2
        return 1
    }
}

# Prints the path of the library to test: the one that LITESTREAM_VFS_LIBRARY names, or that of `cargo build --release`.
tested_library() {
    local library=${LITESTREAM_VFS_LIBRARY:-}
    if [ -z "$library" ]; then
        say "cargo build --release"
        cargo build --locked --release -p litestream-vfs-extension >&2
        library=$target/release/liblitestream_vfs.so
        [ -e "$library" ] || library=${library%.so}.dylib
    fi
    printf '%s\n' "$library"
}

# Installs a subcommand of cargo (NAME VERSION) into target/test-env, unless it is there.
cargo_tool() {
    export PATH=$target/test-env/cargo/bin:$PATH
    have "$1" || cargo install --locked --quiet "$1@$2" --root "$target/test-env/cargo"
}
