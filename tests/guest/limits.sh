# Limits: written into a zone's cgroup and read back, enforced by the kernel, changed on the running zone, and refused
# where the kernel could not enforce them.

# The four files of a zone's limits hold: `holds ZONE MEMORY PIDS CPU WEIGHT`.
holds() {
  local directory=$CGROUP/zone.$1 memory pids cpu weight
  memory=$(<"$directory/memory.max") pids=$(<"$directory/pids.max")
  cpu=$(<"$directory/cpu.max") weight=$(<"$directory/cpu.weight")
  FOUND="$memory, $pids, $cpu, $weight"
  [[ $FOUND == "$2, $3, $4, $5" ]]
}

counts() {
  count "$@"
  ((COUNT > 0))
}

exited() {
  status "$1"
  [[ ${IS[state]} == ready && ${IS[reason]} == InitExited ]]
}

test_limits_are_kept() {
  manifest hog running <<'END'
cappedMemory:
  physical: 32Mi
init:
  command: [/usr/bin/perl, -e, 'my $hog = "x" x (200 << 20); sleep 1000']
  restart: never
END
  manifest bomb running <<'END'
maxProcesses: 32
init:
  command: [/usr/bin/perl, -e, '1 while defined fork; sleep 1000']
END
  manifest burner running <<'END'
cappedCpu:
  ncpus: 0.2
init:
  command: [/bin/sh, -c, 'while :; do :; done']
END
  start_controller

  # The kernel ends the hog by itself, and the zone's state follows from that.
  until_true "hog ended by the kernel" exited hog
  counts oom_kill "$CGROUP/zone.hog/memory.events" || fail "no oom_kill: $(<"$CGROUP/zone.hog/memory.events")"
  same memory.max 33554432 "$(<"$CGROUP/zone.hog/memory.max")"

  # Linux 6.1 counts a refused fork where the process was, later ones where the limit is.
  await bomb running
  until_true "fork refused" counts max "$CGROUP"/zone.bomb/{,*/}pids.events
  # There is room for zsched and for what waits to become the next init beside the zone's own.
  same pids.max 34 "$(<"$CGROUP/zone.bomb/pids.max")"
  (($(<"$CGROUP/zone.bomb/pids.current") <= 34)) || fail "$(<"$CGROUP/zone.bomb/pids.current") processes"

  await burner running
  until_true "burner throttled" counts nr_throttled "$CGROUP/zone.burner/cpu.stat"
  same cpu.max "20000 100000" "$(<"$CGROUP/zone.burner/cpu.max")"
}

test_limits_change_live() {
  # A cgroup that is there already, as systemd makes one for a unit, is as good as one that Reeve makes.
  mkdir "$CGROUP"
  manifest z running <<END
cappedMemory:
  physical: 64Mi
maxProcesses: 32
cappedCpu:
  ncpus: 0.2
cpuShares: 250
$SLEEPER
END
  start_controller
  await z running
  holds z 67108864 34 "20000 100000" 250 || fail "limits: $FOUND"
  local init=${IS[initPid]} id=${IS[zoneId]} zsched=${IS[zschedPid]}

  manifest z running <<END
cappedMemory:
  physical: 96Mi
maxProcesses: 48
cappedCpu:
  ncpus: 0.5
cpuShares: 1000
$SLEEPER
END
  until_true "changed limits" holds z 100663296 50 "50000 100000" 1000
  await z running
  same "init, ID, zsched" "$init $id $zsched" "${IS[initPid]} ${IS[zoneId]} ${IS[zschedPid]}"

  # Without a limit in the manifest the kernel's default holds.
  manifest z running <<<"$SLEEPER"
  until_true "no limits" holds z max max "max 100000" 100
  await z running
  same "init, ID, zsched" "$init $id $zsched" "${IS[initPid]} ${IS[zoneId]} ${IS[zschedPid]}"

  # A limit that somebody else changed is drift, and put right.
  manifest z running <<<"maxProcesses: 32
$SLEEPER"
  until_true "a limit again" holds z max 34 "max 100000" 100
  await z running
  echo 1000 >"$CGROUP/zone.z/pids.max"
  "$REEVE" apply "$MANIFESTS" >"$FOLDER/apply.log" 2>&1 || fail "$(<"$FOLDER/apply.log")"
  until_true "the limit put right" holds z max 34 "max 100000" 100
  await z running
  same "init, ID, zsched" "$init $id $zsched" "${IS[initPid]} ${IS[zoneId]} ${IS[zschedPid]}"
}

# A host whose cgroups have pids and no memory, as a container may be: a cgroup namespace below a cgroup that hands
# down pids alone. The file named $1 is run there.
without_memory() {
  mkdir -p "$CGROUPS/box/host/rest"
  echo +pids >"$CGROUPS/cgroup.subtree_control"
  echo +pids >"$CGROUPS/box/cgroup.subtree_control"
  (
    echo "$BASHPID" >"$CGROUPS/box/host/cgroup.procs"
    exec unshare --mount --cgroup -- bash -e "$1"
  )
}

test_limit_without_controller_is_refused() {
  manifest z running <<<"cappedMemory:
  physical: 64Mi
$SLEEPER"
  cat >"$FOLDER/script" <<'END'
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo $$ >/sys/fs/cgroup/rest/cgroup.procs
cd "$1"
status=0; "$REEVE" verify manifests >verify.log 2>&1 || status=$?
echo $status >verify.status
status=0; "$REEVE" apply manifests >apply.log 2>&1 || status=$?
echo $status >apply.status
"$REEVE" down manifests --purge >down.log 2>&1 || { cat down.log; exit 1; }
# What this host can enforce it does.
sed -i -e '/cappedMemory:/d' -e 's/    physical: 64Mi/  maxProcesses: 32/' manifests/z.yaml
"$REEVE" apply manifests >apply2.log 2>&1 || { cat apply2.log; exit 1; }
cat /sys/fs/cgroup/*/zone.z/pids.max >pids.max
"$REEVE" down manifests --purge >down.log 2>&1 || { cat down.log; exit 1; }
END
  export REEVE
  sed -i "s|\"\$1\"|$FOLDER|" "$FOLDER/script"
  without_memory "$FOLDER/script" >"$FOLDER/script.log" 2>&1 || fail "$(<"$FOLDER/script.log")"
  rmdir "$CGROUPS/box/host/rest" "$CGROUPS/box/host" "$CGROUPS/box"
  local step
  for step in verify apply; do
    same "exit status of $step" 1 "$(<"$FOLDER/$step.status")"
    [[ $(<"$FOLDER/$step.log") == *cappedMemory*'`memory`'* ]] || fail "$step:" "$(<"$FOLDER/$step.log")"
  done
  same pids.max 34 "$(<"$FOLDER/pids.max")"
}

# What the cgroups on the way to the zones hand down: `handed PATH`.
handed() {
  cat "$CGROUPS/$1/cgroup.subtree_control"
}

test_processes_in_the_way_of_controllers_are_named_and_nothing_is_handed_down_in_part() {
  export REEVE_CGROUP=$TEST/zones
  mkdir "$CGROUP"
  sleep 1000 &
  local sleeper=$!
  echo "$sleeper" >"$CGROUP/cgroup.procs"
  # A zone without limits needs no controller.
  manifest z running <<<"$SLEEPER"
  "$REEVE" apply "$MANIFESTS" >"$FOLDER/apply.log" 2>&1 || fail "$(<"$FOLDER/apply.log")"
  same "handed down in part" "" "$(handed "$TEST")$(handed "$TEST/zones")"
  local part
  for part in "$CGROUP cannot" "memory, pids, cpu" "$sleeper (sleep)" "mkdir $CGROUP/rest" REEVE_CGROUP; do
    [[ $(<"$FOLDER/apply.log") == *"$part"* ]] || fail "no '$part' in:" "$(<"$FOLDER/apply.log")"
  done
  # One with a limit is refused, and says the same.
  manifest y running <<<"maxProcesses: 32
$SLEEPER"
  local status=0
  "$REEVE" apply "$MANIFESTS" >"$FOLDER/apply.log" 2>&1 || status=$?
  same "exit status" 1 "$status"
  for part in maxProcesses '`pids`' "$sleeper (sleep)"; do
    [[ $(<"$FOLDER/apply.log") == *"$part"* ]] || fail "no '$part' in:" "$(<"$FOLDER/apply.log")"
  done
  same "handed down in part" "" "$(handed "$TEST")$(handed "$TEST/zones")"
  # What it says is to be done does it, under a controller that runs.
  start_controller
  await z running
  mkdir "$CGROUP/rest"
  echo "$sleeper" >"$CGROUP/rest/cgroup.procs"
  "$REEVE" retry y >"$FOLDER/retry.log" 2>&1 || fail "$(<"$FOLDER/retry.log")"
  await y running
  same pids.max 34 "$(<"$CGROUP/zones/zone.y/pids.max")"
  same "handed down" "cpu memory pids" "$(handed "$TEST/zones")"
  kill "$sleeper"
  wait "$sleeper" 2>/dev/null || :
  rmdir "$CGROUP/rest"
}

# Whether an event of a zone's field is told of: `told ZONE REASON FIELD`.
told() {
  EVENTS=$("$REEVE" events "$1" -o json 2>&1) || return 1
  [[ $EVENTS == *"\"reason\": \"$2\""*"$3"* ]]
}

# Limits that somebody changes by hand are drift: found by an event (the resync is an hour away), and mended, told of or
# left as the manifest says.
test_limits_drift() {
  local limits="cappedMemory:
  physical: 64Mi
maxProcesses: 32
cappedCpu:
  ncpus: 0.2
cpuShares: 250
$SLEEPER"
  manifest heal running <<<"$limits"
  manifest warn running <<<"drift:
  default: warn
$limits"
  manifest leave running <<<"drift:
  fields:
    cappedCpu: ignore
$limits"
  REEVE_RESYNC=3600 start_controller
  local zone rows file value field
  for zone in heal warn leave; do await "$zone" running; done
  status heal
  local init=${IS[initPid]}
  pause 1
  rows="memory.max 134217728 cappedMemory
pids.max 1000 maxProcesses
cpu.max max cappedCpu
cpu.weight 42 cpuShares"
  while read -r file value field; do
    local started=$EPOCHREALTIME
    echo "$value" >"$CGROUP/zone.heal/$file"
    until_true "$field put right" holds heal 67108864 34 "20000 100000" 250
    since "$started"
    echo "$field was put right within $TOOK"
    until_true "$field told of" told heal DriftMended "$field"
  done <<<"$rows"
  await heal running
  same init "$init" "${IS[initPid]}"

  echo 1000 >"$CGROUP/zone.warn/pids.max"
  until_true "told of" told warn DriftFound maxProcesses
  pause 0.5
  same "pids.max, only told of" 1000 "$(<"$CGROUP/zone.warn/pids.max")"
  status warn
  same reason Drifted "${IS[reason]}"
  echo 34 >"$CGROUP/zone.warn/pids.max"
  await warn running

  echo max >"$CGROUP/zone.leave/cpu.max"
  until_true "seen" told leave DriftFound cappedCpu
  echo 1000 >"$CGROUP/zone.leave/pids.max"
  until_true "another one mended" holds leave 67108864 34 "max 100000" 250
  await leave running
}
