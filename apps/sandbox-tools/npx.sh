#!/bin/sh
# The SDKs run TypeScript through `npx ts-node`. An image's own npx, if there is one, would look for ts-node in a registry:
# this npx has it at once. It leaves every other program to the image's own npx, the next on the PATH.
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
    # A program that the project has installed comes first, as with npx.
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
