#!/bin/sh
# The SDKs run TypeScript through `npx ts-node`. An image's own npx, if there is one, would look for that in a registry:
# here it is at once. Everything else is for the image's own npx, the next on the PATH.
set -f
here=${0%/*}
name=
for word; do
  case $word in
    -y | --yes | --no | --no-install) ;;
    *)
      name=$word
      break
      ;;
  esac
done
case $name in
  @NAMES@)
    # What the project has installed comes first, as npx does it.
    folder=${PWD%/}
    while [ -n "$folder" ] && [ ! -x "$folder/node_modules/.bin/$name" ]; do folder=${folder%/*}; done
    program=$folder/node_modules/.bin/$name
    [ -x "$program" ] || program=$here/../bin/$name
    while [ "$1" != "$name" ]; do shift; done
    shift
    exec "$program" "$@"
    ;;
esac
IFS=:
for folder in $PATH; do
  [ "$folder" -ef "$here" ] && continue
  [ -n "$folder" ] && [ -x "$folder/npx" ] && [ ! -d "$folder/npx" ] && exec "$folder/npx" "$@"
done
echo "npx: this sandbox has no npx of its own, and ${name:-nothing} is not one of: @NAMES@" >&2
exit 127
