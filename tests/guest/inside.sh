#!/bin/bash
# Runs in the guest: each test in a shell of its own, with folders, a cgroup and zones of its own, and a look at the
# kernel before and after it. To start a program costs 20 to 40 ms here, so what the shell can do itself it does.
#
#     inside.sh REPOSITORY REEVE [TEST...]
set -uo pipefail

REPOSITORY=$1 REEVE=$2
shift 2
readonly REPOSITORY REEVE
here=$REPOSITORY/tests/guest
source "$here/harness.sh"
source "$here/limits.sh"
source "$here/states.sh"
source "$here/inside-a-zone.sh"

ALL=(limits_are_kept limits_change_live limits_drift limit_without_controller_is_refused
  processes_in_the_way_of_controllers_are_named_and_nothing_is_handed_down_in_part nine_pairs kills isolation file_systems quickstart)
(($#)) || set -- "${ALL[@]}"
for name in "$@"; do
  started=$EPOCHREALTIME
  if [[ $(type -t "test_$name") != function ]]; then
    echo "there is no such test; there are: ${ALL[*]}"
    echo "FAILED $name"
    continue
  fi
  # Not as a condition: there the shell would not end at the first command that fails.
  ( set -e; begin "$name"; "test_$name"; finish )
  status=$?
  since "$started"
  if ((status == 0)); then echo "ok $name ($TOOK)"; else echo "FAILED $name ($TOOK)"; fi
done
