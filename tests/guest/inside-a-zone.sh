# What a zone is from within and over the network: closed against its own root, and the quickstart answering.

test_isolation() {
  manifest up running <<<"$SLEEPER"
  manifest idle ready </dev/null
  start_controller
  local zone
  for zone in up:running idle:ready; do
    await "${zone%:*}" "${zone#*:}"
    zone=${zone%:*}
    # A process of the host has this in its command line; nothing in a zone may see it.
    inside "$zone" 'exit 42' && fail "$zone: exit status 0" || same "$zone: exit status" 42 $?
    inside "$zone" 'cat /proc/[0-9]*/cmdline | tr "\0" " "' || fail "$zone: $OUTPUT"
    [[ $OUTPUT != *inside.sh* && $OUTPUT != *zsched* ]] || fail "$zone sees processes that are not its own: $OUTPUT"
    # No mount of the platform, and no flag of one, can be undone by the zone's root.
    inside "$zone" '
      before=$(cat /proc/self/mountinfo) points=
      while read -r _ _ _ _ point flags _; do
        [ "$point" = / ] || points="$points $point"
        case $flags in ro,*) mount -o remount,bind,rw "$point" ;; esac
      done </proc/self/mountinfo >/dev/null 2>&1
      umount $points 2>/dev/null
      umount -l $points 2>/dev/null
      [ "$before" = "$(cat /proc/self/mountinfo)" ] || { echo "undone:"; cat /proc/self/mountinfo; }
      touch /usr/x 2>/dev/null && echo "written: /usr"
      mknod /tmp/null c 1 3 2>/dev/null && echo "made: a device"
      touch /var/x && echo done' || fail "$zone: $OUTPUT"
    same "$zone: what its root can undo" done "$OUTPUT"
  done
}

# Linux 6.1 has less of idmapped mounts and of overlay than later ones: the configured file systems as they should be.
test_file_systems() {
  mkdir "$FOLDER/shared" "$FOLDER/writable"
  echo host >"$FOLDER/shared/file"
  chmod 777 "$FOLDER/writable"
  manifest z ready <<END
fs:
  - dir: /srv/shared
    type: loopback
    special: $FOLDER/shared
  - dir: /srv/writable
    type: loopback
    special: $FOLDER/writable
    options: [rw]
  - dir: /srv/scratch
    type: tmpfs
    options: [size=1Mi, mode=700]
END
  start_controller
  await z ready
  inside z '
    cat /srv/shared/file && stat -c "%u %a" /srv/shared/file /srv/scratch && echo zone >/srv/writable/file
    (echo >/srv/shared/file) 2>/dev/null && echo "written: /srv/shared"
    umount /srv/shared 2>/dev/null && echo "undone: /srv/shared"
    mount -o remount,bind,rw /srv/shared 2>/dev/null && echo "writable: /srv/shared"
    dd if=/dev/zero of=/srv/scratch/file bs=1M count=2 2>/dev/null && echo "unbounded: /srv/scratch"
    echo done' || fail "exit status $?: $OUTPUT"
  same "what the zone saw" $'host\n0 644\n0 700\ndone' "$OUTPUT"
  same "what the zone wrote" zone "$(<"$FOLDER/writable/file")"
  # Written as a user of the zone's own, whom the host has no other use for.
  local owner
  owner=$(stat -c %u "$FOLDER/writable/file")
  ((owner >= 65536)) || fail "what the zone wrote belongs to user $owner of the host"
}

# Asks an address over HTTP; the answer in ANSWER.
asked() {
  local line
  ANSWER=
  { exec {web}<>"/dev/tcp/$1/80"; } 2>/dev/null || return 1
  printf 'GET / HTTP/1.0\r\n\r\n' >&"$web"
  while IFS= read -rt 5 -u "$web" line; do
    ANSWER+=$line$'\n'
  done
  exec {web}>&-
  [[ $ANSWER == *'200 OK'*web* ]]
}

test_quickstart() {
  MANIFESTS=$REPOSITORY/examples/quickstart
  start_controller
  await web running
  await standby ready
  await archive installed
  until_true "an answer of the zone web" asked 10.77.0.10
  # The end of the controller leaves the zones as they are.
  status web
  local init=${IS[initPid]}
  end_controller TERM
  status web
  same "init after the controller" "$init" "${IS[initPid]}"
  asked 10.77.0.10 || fail "no answer after the controller: $ANSWER"
}
