#!/bin/sh
# Installs meetfs from this directory: install.sh [PREFIX]. The default prefix is /usr/local.
# `install.sh --remove [PREFIX]` removes the files again. The mount helper and the
# system unit are installed only as root.
set -eu
cd "$(dirname "$0")"

action=install
if [ "${1-}" = --remove ]; then
    action=remove
    shift
fi
prefix=${1-/usr/local}
is_root=false
[ "$(id -u)" != 0 ] || is_root=true

# Installs or removes one file. The directories of removed files stay.
handle() { # mode source path
    if [ "$action" = install ]; then
        install -D -m "$1" "$2" "$prefix/$3"
    else
        rm -f "$prefix/$3"
    fi
}

# Installs or removes a unit. It starts the program in the prefix.
handle_unit() { # source path
    handle 644 "$1" "$2"
    if [ "$action" = install ]; then
        sed -i "s|/usr/bin/meetfs|$prefix/bin/meetfs|" "$prefix/$2"
    fi
}

handle 755 meetfs bin/meetfs
for page in man/*; do
    section=${page%.gz}
    handle 644 "$page" "share/man/man${section##*.}/${page#man/}"
done
handle 644 completions/meetfs.bash share/bash-completion/completions/meetfs
handle 644 completions/meetfs.zsh share/zsh/site-functions/_meetfs
handle 644 completions/meetfs.fish share/fish/vendor_completions.d/meetfs.fish
for document in CHANGELOG.md LICENSE-APACHE LICENSE-MIT example.toml third-party-licenses.html.gz; do
    handle 644 "$document" "share/doc/meetfs/$document"
done
handle_unit meetfs.user.service share/systemd/user/meetfs.service

if $is_root; then
    handle_unit meetfs@.service lib/systemd/system/meetfs@.service
    # mount(8) finds helpers in /sbin only.
    for helper in /sbin/mount.meetfs /sbin/mount.fuse.meetfs; do
        if [ "$action" = install ]; then
            ln -sf "$prefix/bin/meetfs" "$helper"
        elif [ "$(readlink "$helper")" = "$prefix/bin/meetfs" ]; then
            rm -f "$helper"
        fi
    done
fi
echo "$action: $prefix/bin/meetfs"
