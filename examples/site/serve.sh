# Serve the site, or with "list" say what there is to serve.
set -eu
if [ "$1" = list ]; then
    echo "$(id -un) would serve from $ROOT:"
    ls "$ROOT"
else
    exec busybox httpd -f -v -p "$1" -h "$ROOT"
fi
