#!/bin/sh
# Make clock-ARCH.so of clock.c, with Debian 12's gcc (and gcc-aarch64-linux-gnu): the same bytes every time.
set -eu
cd "$(dirname "$0")"
options="-std=c11 -O2 -Wall -Wextra -Werror -shared -nostdlib -fPIC -fvisibility=hidden -fno-stack-protector
  -fno-asynchronous-unwind-tables -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,--hash-style=both -Wl,-z,norelro -Wl,-soname,clock.so -s"
for pair in "amd64 x86_64-linux-gnu-gcc" "arm64 aarch64-linux-gnu-gcc"; do
  set -- $pair
  "$2" $options -o "clock-$1.so" clock.c
done
