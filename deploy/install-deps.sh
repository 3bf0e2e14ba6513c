#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs what building, running and testing segfarm needs, and the packages named as arguments (by Debian's names); says which. Does
# nothing when all is there. Debian, Ubuntu and relatives: apt-get. Fedora: dnf, with RPM Fusion's free repository enabled, which has
# FFmpeg with all its codecs, and x264. Elsewhere it tells what is needed.
set -eu
packages="gcc make pkg-config libzmq3-dev libhiredis-dev libjansson-dev libsodium-dev libxxhash-dev libmicrohttpd-dev
libavformat-dev libavcodec-dev libavfilter-dev libavutil-dev libswresample-dev libx264-dev zlib1g-dev libseccomp-dev check libyaml-dev
redis-server ffmpeg mkvtoolnix curl procps time $*"

# Debian's name as Fedora has it; "": it comes with another
fedora_name() {
	case $1 in
	pkg-config) echo pkgconf-pkg-config ;;
	libzmq3-dev) echo zeromq-devel ;;
	libxxhash-dev) echo xxhash-devel ;;
	libavformat-dev) echo ffmpeg-devel ;;
	libav*-dev | libswresample-dev) ;;
	libx264-dev) echo x264-devel ;;
	zlib1g-dev) echo zlib-devel ;;
	check) echo check-devel ;;
	redis-server) echo redis ;;
	procps) echo procps-ng ;;
	shellcheck) echo ShellCheck ;;
	libxml2-utils) echo libxml2 ;;
	nginx-light) echo nginx ;;
	libclang-rt-dev) echo compiler-rt ;;
	lib*-dev) echo "${1%-dev}-devel" ;;
	*) echo "$1" ;;
	esac
}
is_debian() { command -v apt-get && command -v dpkg-query; } >/dev/null
is_fedora() { command -v dnf && command -v rpm; } >/dev/null

is_installed() {
	if is_debian; then
		[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c1-2)" = ii ]
	else
		rpm -q --quiet --whatprovides "$1"
	fi
}

missing=
if ! is_debian && ! is_fedora; then
	echo "This is neither Debian (or a relative) nor Fedora. segfarm needs, under the names of your system:" >&2
	for p in $packages; do echo "  $p"; done >&2
	exit 1
fi
for p in $packages; do
	is_debian || p=$(fedora_name "$p")
	[ -z "$p" ] || is_installed "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
root=
[ "$(id -u)" = 0 ] || root=sudo
if [ -n "$root" ] && ! command -v sudo >/dev/null; then
	echo "Please have these packages installed (this user is not root, and there is no sudo):$missing" >&2
	exit 1
fi
echo "Installing:$missing"
# shellcheck disable=SC2086 # they are words
if is_debian; then
	$root apt-get update -qq
	$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif ! $root dnf install -y -q $missing; then
	echo "If x264-devel or ffmpeg-devel was not found: they are in RPM Fusion's free repository, see https://rpmfusion.org/Configuration" >&2
	exit 1
fi
