#!/bin/sh
# The whole story on this machine, from nothing but Python >= 3.10 and a C++ compiler. Arguments go to `xpert demo`.
#
#   sh scripts/demo.sh
. "$(dirname -- "$0")/setup.sh"
exec "$root/.venv/bin/xpert" demo "$@"
