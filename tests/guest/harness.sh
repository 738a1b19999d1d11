# What the tests in the guest are written with: a host of a test's own, manifests, waiting for a zone, and finding what
# is left over.

readonly CGROUPS=/sys/fs/cgroup
# How long a zone may take to get where it should, in seconds.
readonly PATIENCE=20
# A descriptor on which nothing ever comes: waiting for it is sleeping, without a program for it.
exec {NOTHING}<> <(:)

# Sleeps for so many seconds.
pause() {
  read -rt "$1" -u "$NOTHING" || :
}

# Sets TOOK to the time since an EPOCHREALTIME, such as `1.2 s`.
since() {
  local micros=$((${EPOCHREALTIME/./} - ${1/./}))
  TOOK="$((micros / 1000000)).$((micros / 100000 % 10)) s"
}

# Ends the test.
fail() {
  printf '%s\n' "$@"
  exit 1
}

# Begins a test: a host without zones.
begin() {
  TEST=$1
  FOLDER=/zones-disk/$TEST MANIFESTS=/zones-disk/$TEST/manifests
  export REEVE_STATE_DIR=$FOLDER/state REEVE_RUN_DIR=/run/$TEST REEVE_CGROUP=$TEST
  CGROUP=$CGROUPS/$TEST CONTROLLER=
  mkdir -p "$MANIFESTS"
  trap 'ended $?' EXIT
  BEFORE=$(seen)
}

# Ends a test that went well: takes the zones down, and nothing of them may be left.
finish() {
  end_controller TERM
  "$REEVE" down "$MANIFESTS" --purge >"$FOLDER/down.log" 2>&1 || fail "reeve down --purge: exit status $?" "$(<"$FOLDER/down.log")"
  nothing_left
}

# At the end of each test, whatever came of it.
ended() {
  trap - EXIT
  set +e
  if (($1)); then
    [[ ! -s $FOLDER/run.log ]] || tail -n 30 "$FOLDER/run.log" | sed 's/^/run: /'
    tail -n 10 "$REEVE_RUN_DIR"/zones/*/zoneadmd.log 2>/dev/null | sed 's/^/zoneadmd: /'
    "$REEVE" get 2>&1 | sed 's/^/get: /'
  fi
  [[ -z $CONTROLLER ]] || kill -KILL "$CONTROLLER" 2>/dev/null
  local try
  for try in {1..50}; do
    [[ -d $CGROUP ]] || break
    echo 1 >"$CGROUP/cgroup.kill"
    find "$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null
    pause 0.1
  done
  rm -rf "$FOLDER" "$REEVE_RUN_DIR"
  exit "$1"
}

# What the kernel shows: mounts, links, cgroups, and processes that have a command line (neither threads of the kernel
# nor zombies).
seen() {
  local line words path
  while read -r -a words; do
    echo "mount ${words[4]}"
  done </proc/self/mountinfo
  for path in /sys/class/net/*; do
    echo "link ${path##*/}"
  done
  shopt -s globstar nullglob
  for path in "$CGROUPS"/**/; do
    echo "cgroup $path"
  done
  for path in /proc/[0-9]*; do
    words=()
    { mapfile -d '' -t words <"$path/cmdline"; } 2>/dev/null || continue
    ((${#words[@]} == 0)) || [[ ${path##*/} == "$BASHPID" ]] || echo "process ${path##*/} ${words[*]}"
  done
}

# Compares with what was seen at the test's begin. Namespaces are taken down a little after their last process, so what
# is seen first is looked at again.
nothing_left() {
  local started=$SECONDS after line left
  while :; do
    after=$(seen)
    left=()
    while IFS= read -r line; do
      [[ $'\n'$BEFORE$'\n' == *$'\n'"$line"$'\n'* ]] || left+=("left over: $line")
    done <<<"$after"
    if ((${#left[@]} == 0)); then break; fi
    ((SECONDS - started < 5)) || fail "${left[@]}"
    pause 0.2
  done
  for line in "$FOLDER"/state/zones/* "$FOLDER"/state/zonepaths/* "$REEVE_RUN_DIR"/zones/*; do
    [[ ! -e $line ]] || fail "left over: $line"
  done
}

# Writes the manifest of a zone; the fields of its `spec` come from the standard input.
manifest() {
  local line
  {
    printf '%s\n' 'apiVersion: reeve.dev/v1alpha1' 'kind: Zone' 'metadata:' "  name: $1" 'spec:' "  state: $2"
    printf '%s\n' '  root:' '    hostUsr: {}'
    while IFS= read -r line; do
      [[ -z $line ]] || printf '  %s\n' "$line"
    done
  } >"$FOLDER/new"
  mv "$FOLDER/new" "$MANIFESTS/$1.yaml"
}

# An init that runs until it is told to end.
readonly SLEEPER='init:
  command: [/usr/bin/sleep, infinity]'

start_controller() {
  "$REEVE" run "${1:-$MANIFESTS}" </dev/null >>"$FOLDER/run.log" 2>&1 &
  CONTROLLER=$!
}

# Ends the controller by a signal, and waits until it is gone.
end_controller() {
  [[ -n $CONTROLLER ]] || return 0
  kill -"$1" "$CONTROLLER" || fail "the controller was gone already"
  wait "$CONTROLLER" 2>/dev/null || :
  CONTROLLER=
}

# Reads a zone's status into STATUS, and its fields into IS: state, zoneId, initPid, zschedPid, zoneadmdPid, converged
# and reason.
status() {
  local field
  STATUS=$("$REEVE" get zone "$1" -o json 2>&1) || :
  declare -gA IS=([state]=none [zoneId]=null [zschedPid]=null [initPid]=null [zoneadmdPid]=null [converged]=none [reason]=none)
  for field in state zoneId initPid zschedPid zoneadmdPid; do
    if [[ $STATUS =~ \"$field\":\ ?\"?([A-Za-z0-9_]+) ]]; then IS[$field]=${BASH_REMATCH[1]}; fi
  done
  if [[ $STATUS =~ \"type\":\ ?\"Converged\",[[:space:]]*\"status\":\ ?\"([A-Za-z]+)\",[[:space:]]*\"reason\":\ ?\"([A-Za-z]+)\" ]]; then
    IS[converged]=${BASH_REMATCH[1]} IS[reason]=${BASH_REMATCH[2]}
  fi
}

# Waits until a check holds: `until_true WHAT COMMAND...`.
until_true() {
  local what=$1 deadline=$((SECONDS + PATIENCE))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "not within $PATIENCE s: $what" "${STATUS-}"
    pause 0.1
  done
}

# Waits until a zone is in a state and there is nothing to be done about it.
await() {
  until_true "zone $1 $2 and converged" is_settled "$1" "$2"
}

is_settled() {
  status "$1"
  [[ ${IS[state]} == "$2" && ${IS[converged]} == True ]] || return 1
  [[ $2 == installed || ${IS[zoneadmdPid]} != null ]]
}

# Fails unless two texts are the same: `same WHAT EXPECTED FOUND`.
same() {
  [[ $2 == "$3" ]] || fail "$1: expected $2, found $3"
}

# Runs a shell command in a zone; its exit status, and all it printed in OUTPUT.
inside() {
  local status=0
  OUTPUT=$("$REEVE" login "$1" -- /bin/sh -c "$2" 2>&1 </dev/null) || status=$?
  return "$status"
}

# Sets COUNT to the sum of a counter in files of the kernel: `count NAME FILE...`. Files that are gone count nothing.
count() {
  local name=$1 file key value
  COUNT=0
  shift
  for file in "$@"; do
    [[ -e $file ]] || continue
    while read -r key value; do
      [[ $key != "$name" ]] || ((COUNT += value)) || :
    done <"$file"
  done 2>/dev/null
}
