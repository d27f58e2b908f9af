# Prints the first of the named Pythons that suits nst_jax and makes an environment.
#
#     sh tools/find_python.sh                    # 3.13, 3.12, whatever python3 is, 3.11
#     sh tools/find_python.sh 3.12               # on the path, or one that pyenv keeps
#     sh tools/find_python.sh ~/python/bin/python3
#
# Each is tried, because one that exists may still fail: pyenv puts a shim on the path for each
# version that it keeps, chosen or not, and Debian packs apart what an environment is made with.
# Nothing newer than 3.13 comes first, because not all dependencies have wheels for it.
set -u
[ $# -gt 0 ] || set -- 3.13 3.12 3 3.11
wanted="$*"
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM

try() {
  command -v "$1" >/dev/null || return
  {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' &&
      "$1" -m venv --clear "$folder/environment"
  } </dev/null >>"$folder/said" 2>&1 || return
  command -v "$1"
  exit
}

for python; do
  case $python in
    [0-9]*)
      try "python$python"
      for kept in "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$python".*/bin/python; do
        try "$kept"
      done
      ;;
    *) try "$python" ;;
  esac
done

{
  [ ! -e "$folder/said" ] || cat "$folder/said"
  echo "error: found no Python >= 3.11 that makes an environment (tried: $wanted); name one that" \
    "does, such as make PYTHON=/usr/bin/python3.13"
} >&2
exit 1
