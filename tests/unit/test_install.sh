#!/usr/bin/env bash
# An installed sftn is found by CMake's find_package and by pkg-config, its command runs from there,
# and a program of three lines links with it.
set -euo pipefail

# A sanitized library asks every program that uses it for the same flags.
if grep -q '^SFTN_SANITIZE:STRING=.' "$SFTN_BUILD/CMakeCache.txt"; then
    echo "skipped: built with sanitizers"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$SFTN_BUILD" --prefix "$work/prefix" >/dev/null
"$work/prefix/bin/sftn" --version >/dev/null

mkdir "$work/user"
cat >"$work/user/main.c" <<'C'
#include <sftn/sftn.h>
#include <string.h>
int main(void) { return strcmp(sftn_version(), SFTN_VERSION) != 0; }
C
cat >"$work/user/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(user C)
find_package(SFTN REQUIRED COMPONENTS static)
add_executable(shared main.c)
target_link_libraries(shared SFTN::sftn)
add_executable(static main.c)
target_link_libraries(static SFTN::sftn_static)
CMAKE
cmake -S "$work/user" -B "$work/user/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/user/build" >/dev/null
"$work/user/build/shared"
"$work/user/build/static"

pc=$(find "$work/prefix" -name sftn.pc)
libdir=$(PKG_CONFIG_PATH=${pc%/*} pkg-config --variable=libdir sftn)
PKG_CONFIG_PATH=${pc%/*} pkg-config --cflags --libs sftn |
    xargs "$CC" "$work/user/main.c" -o "$work/user/plain" "-Wl,-rpath,$libdir"
"$work/user/plain"
