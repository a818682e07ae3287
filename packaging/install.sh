#!/bin/sh
# Installs meetfs from this directory: ./install.sh [PREFIX]. The default prefix is /usr/local.
# `./install.sh --remove [PREFIX]` removes the files again.
set -eu
cd "$(dirname "$0")"

action=install
if [ "${1-}" = --remove ]; then
    action=remove
    shift
fi
prefix=${1-/usr/local}

# Installs or removes one file: mode, source, path below the prefix.
handle() {
    if [ "$action" = install ]; then
        install -D -m "$1" "$2" "$prefix/$3"
    else
        rm -f "$prefix/$3"
    fi
}

handle 755 meetfs bin/meetfs
for page in man/*; do
    handle 644 "$page" "share/man/man$(expr "$page" : '.*\.\([0-9]\)\.gz$')/$(basename "$page")"
done
handle 644 completions/meetfs.bash share/bash-completion/completions/meetfs
handle 644 completions/_meetfs share/zsh/site-functions/_meetfs
handle 644 completions/meetfs.fish share/fish/vendor_completions.d/meetfs.fish

# mount(8) searches helpers in /sbin only.
if [ "$(id -u)" = 0 ] && [ "$action" = install ]; then
    ln -sf "$prefix/bin/meetfs" /sbin/mount.meetfs
    ln -sf "$prefix/bin/meetfs" /sbin/mount.fuse.meetfs
elif [ "$(id -u)" = 0 ] && [ "$(readlink /sbin/mount.meetfs)" = "$prefix/bin/meetfs" ]; then
    rm -f /sbin/mount.meetfs /sbin/mount.fuse.meetfs
fi
echo "$action: $prefix/bin/meetfs"
