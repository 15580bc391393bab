# What tools/build, tools/demo and tools/check have in common; to be sourced
# with $root set to the top folder.
#
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash

# Debian's packages (12 and 13). To build:
packages_build='gcc libc6-dev meson ninja-build pkgconf
  libglib2.0-dev libjson-glib-dev libcairo2-dev libdnnl-dev libyaml-dev
  libjpeg-dev libpng-dev libgstreamer1.0-dev
  libgstreamer-plugins-base1.0-dev libgirepository1.0-dev
  gobject-introspection gstreamer1.0-tools'
# to decode, encode and put into files, besides:
packages_video='gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-ugly gstreamer1.0-libav fonts-dejavu-core'
# to show a camera's pictures, besides:
packages_camera="$packages_video gstreamer1.0-x gstreamer1.0-gl"
# to check:
packages_check='git g++ clang libclang-rt-dev gcc-aarch64-linux-gnu
  libc6-dev-arm64-cross libgstreamer-plugins-bad1.0-dev libgl-dev python3-gi
  gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base
  gstreamer1.0-plugins-good fonts-dejavu-core'

say ()
{
  printf '%s\n' "$*" >&2
}

die ()
{
  say "${0##*/}: $*"
  exit 1
}

# run_quietly LOG COMMAND...: prints the end of the log only if it fails.
run_quietly ()
{
  local log=$1
  shift
  "$@" > "$log" 2>&1 < /dev/null && return
  tail -n 40 "$log" >&2
  say "failed: $*"
  say "all of its output: $log"
  return 1
}

# install_packages NAME...: installs what is missing; asks nobody and needs no
# network if nothing is.
install_packages ()
{
  local name missing='' sudo='' log apt
  if ! command -v dpkg-query > /dev/null; then
    say "This is not Debian, so nothing gets installed. Needed is what Debian" \
      "calls:" "$@"
    return
  fi
  for name in "$@"; do
    case " $(dpkg-query -W -f '${db:Status-Status} ' "$name" 2> /dev/null)" in
      *' installed '*) ;;
      *) missing="$missing $name" ;;
    esac
  done
  [ -n "$missing" ] || return 0

  if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    if ! command -v sudo > /dev/null || ! { sudo -n true 2> /dev/null ||
          { [ -t 0 ] && sudo -v; }; }; then
      die "packages are missing, and only root may install them. As root:
  apt-get install --no-install-recommends$missing"
    fi
  fi
  say "Installing$missing"
  log=$(mktemp "${TMPDIR:-/tmp}/gst-condinst-apt.XXXXXX")
  apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q
    -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3"
  # shellcheck disable=SC2086
  run_quietly "$log" $apt update &&
    run_quietly "$log" $apt install -y --no-install-recommends $missing ||
    die "could not install packages; is there a network?"
  rm -f "$log"
}

# configure FOLDER OPTION...: meson setup, also of a folder that exists.
configure ()
{
  local folder=$1 again=''
  shift
  [ ! -e "$folder/meson-private/coredata.dat" ] || again=--reconfigure
  mkdir -p "$folder"
  # shellcheck disable=SC2086
  run_quietly "$folder/setup.log" meson setup $again "$folder" "$root" "$@"
}
