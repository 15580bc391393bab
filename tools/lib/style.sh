# The step "style" of tools/check
#
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash

# complain WHAT: fails if there is input, and prints it.
complain ()
{
  local lines
  lines=$(cat)
  [ -z "$lines" ] && return
  printf '%s:\n%s\n' "$1" "$lines"
  return 1
}

# includes FILES-PATTERN: "file:line:included header" of all quoted and
# bracketed includes.
includes ()
{
  git ls-files -z -- "$@" | xargs -0r grep -nHE '^ *# *include' |
    sed -E 's/^([^:]*:[0-9]+):.*[<"]([^>"]*)[>"].*/\1:\2/'
}

step_style ()
{
  local status=0 code
  cd "$root" && git ls-files --error-unmatch meson.build > /dev/null || return
  set +o pipefail               # a grep that finds nothing is good news
  code=('*.c' '*.h' '*.cu' '*.py' '*.sh' tools/build tools/demo tools/check
    'tools/lib/check-*' tests/gpu/run tests/gpu/pack .ci/run '*meson.build'
    '*.supp')

  git ls-files -z -- "${code[@]}" | xargs -0 grep -nP '[ \t]+$' |
    complain 'white space at the end of a line' || status=1
  git ls-files -z -- '*.c' '*.h' | xargs -0 grep -nP '\t' |
    complain 'tabs' || status=1
  # awk counts bytes; none of our code needs others than ASCII. A launch line
  # in the documentation cannot be broken.
  git ls-files -z -- '*.c' '*.h' '*.cu' '*.sh' tools/build tools/demo \
      tools/check tests/gpu/run tests/gpu/pack |
    xargs -0 awk 'length > 80 && !/gst-launch-1\.0/ {
        print FILENAME ":" FNR ": " length
      }' |
    complain 'lines of more than 80 characters' || status=1
  git ls-files -z -- '*.c' '*.h' '*.cu' '*.sh' tools/build tools/demo \
      tools/check tests/gpu/run tests/gpu/pack .ci/run |
    xargs -0 grep -L 'SPDX-License-Identifier: LGPL-2.1-or-later' |
    complain 'no licence' || status=1
  git ls-files -z -- '*.c' '*.h' '*.py' ':!tests' | xargs -0 wc -l |
    awk '$2 != "total" && $1 > 900' |
    complain 'files of more than 900 lines' || status=1
  git ls-files -z -- '*.c' '*.h' '*.py' '*.md' ':!tools/lib/style.sh' |
    xargs -0 grep -nE '\b(TODO|FIXME|XXX)\b' |
    complain 'unfinished' || status=1

  # The layers: gst -> models -> kernels, never back.
  includes kernels |
    grep -E ':(.*/)?(gst|models|json-glib|cairo)/|:models\.h$|:(gst|json)-' |
    complain 'kernels/ knows models or GStreamer' || status=1
  includes models | grep -E ':(.*/)?(gst|cairo)/|:gst' |
    complain 'models/ knows GStreamer' || status=1
  includes models gst tools | grep -E ':(.*/)?kernels/' |
    grep -vE ':(.*/)?kernels/kernels\.h$' |
    complain 'kernels/ is entered beside kernels.h' || status=1
  includes gst tools | grep -E ':(.*/)?models/' |
    grep -vE ':(.*/)?models/models\.h$' |
    complain 'models/ is entered beside models.h' || status=1
  includes . | grep -E ':(oneapi/)?dnnl' | grep -v '^kernels/cpu/dnnl\.c:' |
    complain 'oneDNN is known outside kernels/cpu/dnnl.c' || status=1
  includes . | grep -E ':cu(da|dnn)[^/]*\.h$' |
    grep -vE '^(kernels/cuda|tests)/|:cuda_module\.h$' |
    complain 'CUDA is known outside kernels/cuda' || status=1
  return $status
}
