# Finds Python interpreters. Sourced, never run.
# shellcheck shell=sh

supported="3.10 3.11 3.12 3.13 3.14"

# Runs, is the version it is named after, and can make environments. (A pyenv shim is a file that may not run.)
usable() {
    "$1" -c "import ensurepip, venv, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$2')" 2>/dev/null
}

# python_for VERSION: its path, or nothing.
python_for() {
    for candidate in "$(command -v "python$1")" "${HOME:-}"/.pyenv/versions/"$1".*/bin/"python$1"; do
        if usable "$candidate" "$1"; then
            echo "$candidate"
            return
        fi
    done
}

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

is_supported() {
    case " $supported " in *" $1 "*) true ;; *) false ;; esac
}

# The machine's own python3 if it will do, else the newest found.
default_python() {
    own=$(command -v python3) && version=$(python_version "$own" 2>/dev/null) &&
        is_supported "$version" && usable "$own" "$version" && echo "$own" && return
    newest=
    for version in $supported; do
        found=$(python_for "$version")
        newest=${found:-$newest}
    done
    echo "$newest"
}
