# Install Debian's chromium and firefox, in which tests open the report and the app, where this
# machine allows it. Those tests skip without them, so this script never fails.

missing=""
command -v chromium >/dev/null 2>&1 || missing="chromium"
command -v firefox-esr >/dev/null 2>&1 || missing="$missing firefox-esr"
missing="${missing# }"
if [ -z "$missing" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    echo "missing and not installed, which takes apt-get and root: $missing"
    exit 0
fi
# shellcheck disable=SC2086  # each word is a package
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends $missing; } >/dev/null 2>&1; then
    echo "missing, and apt-get could not install it: $missing"
fi
exit 0
