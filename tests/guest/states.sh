# States: each of the nine pairs, by changing the manifest under a running controller; and each process killed once.

readonly NETWORK='net:
  - physical: rvbr0
    address: 192.0.2.10/24
    defrouter: 192.0.2.1'

test_nine_pairs() {
  # A walk over each of the nine pairs once.
  local walk=(installed installed ready ready running running installed running ready installed) from to id zsched init
  manifest z installed <<<"$NETWORK
$SLEEPER"
  start_controller
  await z installed
  for ((i = 1; i < ${#walk[@]}; i++)); do
    from=${walk[i - 1]} to=${walk[i]}
    id=${IS[zoneId]} zsched=${IS[zschedPid]} init=${IS[initPid]}
    manifest z "$to" <<<"$NETWORK
$SLEEPER"
    if [[ $from == "$to" ]]; then "$REEVE" apply "$MANIFESTS" >"$FOLDER/apply.log" 2>&1 || fail "$(<"$FOLDER/apply.log")"; fi
    await z "$to"
    case "$from $to" in
      "$to $from") same "$from to $to: ID, zsched, init" "$id $zsched $init" "${IS[zoneId]} ${IS[zschedPid]} ${IS[initPid]}" ;;
      'ready running' | 'running ready') same "$from to $to: ID, zsched" "$id $zsched" "${IS[zoneId]} ${IS[zschedPid]}" ;;
    esac
    if [[ $to == installed ]]; then
      same "$to: ID, zsched" "null null" "${IS[zoneId]} ${IS[zschedPid]}"
      [[ ! -e $CGROUP/zone.z ]] || fail "$from to $to: the cgroup is still there"
    fi
    if [[ $to == running ]]; then
      [[ -e /proc/${IS[initPid]} ]] || fail "$from to $to: no init ${IS[initPid]}"
    else
      same "$to: init" null "${IS[initPid]}"
    fi
  done
}

# The zone is converged, and a process of it is another one: `replaced ZONE STATE FIELD OLD`.
replaced() {
  is_settled "$1" "$2" && [[ ${IS[$3]} != "$4" && ${IS[$3]} != null ]]
}

test_kills() {
  local zone state id zsched zoneadmd init links
  manifest up running <<<"$NETWORK
maxProcesses: 32
$SLEEPER"
  manifest idle ready <<<"${NETWORK/.10/.11}"
  start_controller
  for zone in up:running idle:ready; do
    state=${zone#*:} zone=${zone%:*}
    await "$zone" "$state"
    id=${IS[zoneId]} zsched=${IS[zschedPid]} init=${IS[initPid]}

    # The controller: the next one finds the zone as it was.
    end_controller KILL
    start_controller
    await "$zone" "$state"
    same "after the controller, $zone" "$id $zsched $init" "${IS[zoneId]} ${IS[zschedPid]} ${IS[initPid]}"

    # zoneadmd: a new one adopts the zone, and nothing in the zone notices.
    zoneadmd=${IS[zoneadmdPid]}
    kill -KILL "$zoneadmd"
    until_true "$zone served by another zoneadmd than $zoneadmd" replaced "$zone" "$state" zoneadmdPid "$zoneadmd"
    same "after zoneadmd, $zone" "$id $zsched $init" "${IS[zoneId]} ${IS[zschedPid]} ${IS[initPid]}"

    # init: another one on the same platform.
    if [[ $state == running ]]; then
      kill -KILL "$init"
      until_true "$zone with another init than $init" replaced "$zone" "$state" initPid "$init"
      same "after init, $zone" "$id $zsched" "${IS[zoneId]} ${IS[zschedPid]}"
    fi

    # zsched: everything of the zone goes with it, and the zone comes up again, with a new ID.
    init=${IS[initPid]}
    kill -KILL "$zsched"
    until_true "$zone up again" replaced "$zone" "$state" zschedPid "$zsched"
    [[ ${IS[zoneId]} != "$id" ]] || fail "$zone: the ID is still $id"
    [[ $init == null || ! -e /proc/$init ]] || fail "$zone: the old init $init is still there"
  done
  # Of each zone the one link that it has now.
  links=(/sys/class/net/rv*-*)
  until_true "one link for each zone" has_links 2
}

has_links() {
  local links=(/sys/class/net/rv*-*)
  ((${#links[@]} == $1))
}
