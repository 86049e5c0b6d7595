#!/bin/sh
# install_test.sh BUILD_DIR CC: installs the build into a folder of its own and uses it from there as a user would: by
# pkg-config, shared and static, and by find_package; and has man find a page.
set -eu
build=$1 cc=$2
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
fail() {
    echo "install: $*" >&2
    exit 1
}
prefix=$place/usr
cmake --install "$build" --prefix "$prefix" >"$place/log" || {
    cat "$place/log"
    fail "cmake --install failed"
}
lib=$(dirname "$(find "$prefix" -name libthrum.so)")
[ -f "$prefix/include/thrum/thrum.h" ] || fail "no headers in $prefix/include/thrum"
PKG_CONFIG_PATH=$lib/pkgconfig
export PKG_CONFIG_PATH

# shellcheck disable=SC2046  # flags
set -- $(pkg-config --define-variable=prefix="$prefix" --cflags --libs thrum)
"$cc" -std=c11 -Wall -Werror "$here/user.c" "$@" -Wl,-rpath,"$lib" -o "$place/shared"
"$place/shared" >/dev/null || fail "the program linked to libthrum.so does not run"
objdump -p "$place/shared" | grep -q 'NEEDED *libthrum.so.0$' || fail "the program does not ask for libthrum.so.0"

# shellcheck disable=SC2046
set -- $(pkg-config --define-variable=prefix="$prefix" --static --libs thrum | sed 's/-lthrum/-l:libthrum.a/')
"$cc" -std=c11 -Wall -Werror "$here/user.c" -I"$prefix/include" "$@" -o "$place/static"
"$place/static" >/dev/null || fail "the program linked to libthrum.a does not run"

mkdir "$place/project"
cat >"$place/project/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(thrum 0.1 REQUIRED)
foreach(kind thrum thrum_static)
    add_executable(by_\${kind} $here/user.c)
    target_link_libraries(by_\${kind} PRIVATE thrum::\${kind})
endforeach()
END
{ cmake -S "$place/project" -B "$place/project/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" &&
    cmake --build "$place/project/build"; } >"$place/log" 2>&1 || {
    cat "$place/log"
    fail "a project with find_package(thrum) does not build"
}
for kind in thrum thrum_static; do
    "$place/project/build/by_$kind" >/dev/null || fail "the program of find_package linked to thrum::$kind does not run"
done
if [ -d "$prefix/bin" ]; then
    "$prefix/bin/thrum" --version >/dev/null || fail "the installed thrum does not run"
fi
if command -v man >/dev/null 2>&1; then
    man -M "$prefix/share/man" -w thrum_connect >/dev/null || fail "man does not find thrum_connect(3)"
fi
echo "install: shared and static by pkg-config and by CMake, the command line tool, the pages"
