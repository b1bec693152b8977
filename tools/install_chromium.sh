# Install Debian's chromium, in which tests open the report and the app, if this machine allows it.
# Those tests skip without it, so this script never fails.

if command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    echo "chromium is missing and is not installed: that takes apt-get and root"
    exit 0
fi
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends chromium; } >/dev/null 2>&1; then
    echo "chromium is missing and apt-get could not install it"
fi
exit 0
