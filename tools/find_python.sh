#!/bin/sh
# Prints the Python to build the environment with: tools/find_python.sh VENV [PYTHON]
#
# The one that the environment VENV was built with, if it still runs; else PYTHON, if given; else
# the first of 3.12, 3.13 and 3.11 that runs and can create environments, from PATH or pyenv.
# Every candidate is run: pyenv puts a `python3.12` on PATH that only prints an error.
venv=$1
wanted=$2
unusable=

minor_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

can_create() {
  "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# Prints the real path of $1 and ends the script if $1 is a Python $2 that can create environments.
try() {
  [ "$(minor_of "$1")" = "$2" ] || return 0
  if can_create "$1"; then
    "$1" -c 'import sys; print(sys.executable)'
    exit 0
  fi
  [ -n "$unusable" ] || unusable="$1" unusable_minor="$2"
}

try_minor() {
  try "python$1" "$1"
  for root in "$PYENV_ROOT" "$HOME/.pyenv"; do
    [ -n "$root" ] && [ -d "$root/versions" ] || continue
    for version in $(ls "$root/versions" | grep "^$1\.[0-9]*$" | sort -t. -k3 -n -r); do
      try "$root/versions/$version/bin/python$1" "$1"
    done
  done
  try "/usr/bin/python$1" "$1"
  try python3 "$1"
  try python "$1"
}

if [ -n "$wanted" ]; then
  case $(minor_of "$wanted") in
    3.1[123]) try "$wanted" "$(minor_of "$wanted")" ;;
    *) echo "so101: PYTHON=$wanted is not a Python 3.11, 3.12 or 3.13" >&2; exit 1 ;;
  esac
else
  recorded=$(sed -n 's/^python=//p' "$venv/so101-setup.txt" 2>/dev/null)
  if [ -n "$recorded" ] && [ -x "$recorded" ]; then
    echo "$recorded"
    exit 0
  fi
  for minor in 3.12 3.13 3.11; do try_minor "$minor"; done
fi

if [ -n "$unusable" ]; then
  echo "so101: $unusable cannot create environments: install python3-venv" \
    "(on Ubuntu: sudo apt install python$unusable_minor-venv)" >&2
else
  echo "so101: no Python 3.12, 3.13 or 3.11 found on PATH or in pyenv;" \
    "install one (sudo apt install python3 python3-venv) or say make PYTHON=/path/to/python" >&2
fi
exit 1
