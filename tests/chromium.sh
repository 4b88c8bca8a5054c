#!/bin/sh
# Chromium for the browser tests: installed where this system lets us, else a word on how to get it.
command -v chromium >/dev/null && exit 0

as_root="sudo -n"
[ "$(id -u)" = 0 ] && as_root=
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
    echo "Installing chromium for the browser tests ..."
    $as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core fonts-noto-cjk >/dev/null &&
        command -v chromium >/dev/null && exit 0
fi

echo "chromium is not here and could not be installed, so the browser tests will be skipped." >&2
echo "Install it with the system's package manager (Debian: sudo apt-get install chromium)." >&2
