#!/usr/bin/env bash
# The auction on two places in containers (compose.yaml), with faults: a node is killed, a Cassandra
# server is killed, the places are cut from each other, while both places take bids. The demo ends
# with a table and checks; exit status 0 when all checks hold. All containers, networks and volumes
# are removed.
#
#   deploy/demo.sh               builds the node's image from source and runs the demo
#   deploy/demo.sh --no-build    uses the existing image `antiphon`
#
# PACE=100            bids a second
# SECONDS_EACH=6      duration of each fault, and of the stages without a fault
# PROJECT=antiphon-demo, COMPOSE="docker compose"
set -euo pipefail
cd "$(dirname "$0")"

project=${PROJECT:-antiphon-demo}
pace=${PACE:-100}
each=${SECONDS_EACH:-6}
limit=180 # longest wait for any step, in seconds
nodes=(node-a1 node-a2 node-b1 node-b2)
certs=/var/lib/antiphon-certs
access=(--ca-file "$certs/ca.pem" --cert-file "$certs/demo.pem" --key-file "$certs/demo.key")
driver=$project-driver
if [[ -z ${COMPOSE:-} ]]; then
  if docker compose version >/dev/null 2>&1; then COMPOSE='docker compose'; else COMPOSE=docker-compose; fi
fi

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }
compose() { $COMPOSE -p "$project" -f compose.yaml "$@"; }
quietly() { # shows the output of the command only when it fails
  local said
  said=$("$@" 2>&1) || { echo "$said" >&2; fail "$* failed"; }
}
# containers by their ids, never by a guessed name: versions of compose give different names
note_ids() {
  local service
  for service in "${nodes[@]}" cassandra-a cassandra-b; do
    printf -v "id_${service//-/_}" %s "$(compose ps -aq "$service")"
  done
}
id() { local name=id_${1//-/_}; echo "${!name:?}"; }
await() { # WHAT COMMAND..: until the command succeeds
  local what=$1 end=$((SECONDS + limit)); shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "$what: not within $limit s"
    sleep 0.3
  done
}

is_healthy() { [[ $(docker inspect -f '{{.State.Health.Status}}' "$(id "$1")") == healthy ]]; }
is_ready() { docker exec "$(id "$1")" antiphon status --ca-file "$certs/ca.pem"; }
# a node tells strangers nothing, and a client with a certificate everything
is_closed_to_strangers() { [[ $(docker exec "$(id "$1")" antiphon status --ca-file "$certs/ca.pem") != *coordinator* ]]; }
tells_clients() { [[ $(docker exec "$(id "$1")" antiphon status "${access[@]}") == *coordinator* ]]; }
syncs_before_it_answers() { [[ $(docker logs "$(id "$1")" 2>&1) == *commitlog_sync=batch* ]]; }
takes_only_encrypted() { [[ $(docker logs "$(id "$1")" 2>&1) == *'(encrypted)'* ]]; }
everybody_ready() {
  local service
  for service in cassandra-a cassandra-b; do await "$service healthy" is_healthy "$service"; done
  for service in "${nodes[@]}"; do await "$service ready" is_ready "$service"; done
}

# the driver prints when a stage begins, and gets SIGUSR1 when the stage is over
driver_said() { [[ $(docker logs "$driver" 2>&1) == *"$1"* ]]; }
driver_says() { # LINE
  local end=$((SECONDS + limit))
  until driver_said "$1"; do
    [[ $(docker inspect -f '{{.State.Running}}' "$driver") == true ]] || { docker logs "$driver" 2>&1 | tail -n 5 >&2; fail "the driver ended before \"$1\""; }
    ((SECONDS < end)) || fail "the driver did not say \"$1\" within $limit s"
    sleep 0.3
  done
}
begins() { driver_says "stage begins: $1"; }
ends() {
  docker kill -s USR1 "$driver" >/dev/null
  driver_says "stage ended: $1"
}

cut() { # disconnects the guests
  docker network disconnect "${project}_place-b" "$(id node-a1)"
  docker network disconnect "${project}_place-b" "$(id node-a2)"
  docker network disconnect "${project}_place-a" "$(id node-b1)"
  docker network disconnect "${project}_place-a" "$(id node-b2)"
}
heal() {
  docker network connect "${project}_place-b" "$(id node-a1)"
  docker network connect "${project}_place-b" "$(id node-a2)"
  docker network connect "${project}_place-a" "$(id node-b1)"
  docker network connect "${project}_place-a" "$(id node-b2)"
}
check_ways() { # together|cut: each node must reach exactly the addresses that it should
  local from reached expected a=cassandra-a:9042,node-a1.dc-a:7400,node-a2.dc-a:7400, b=cassandra-b:9042,node-b1.dc-b:7400,node-b2.dc-b:7400,
  for from in "${nodes[@]}"; do
    case $from,$1 in
      *,together) expected=$a$b ;;
      node-a*) expected=$a ;;
      *) expected=$b ;;
    esac
    # shellcheck disable=SC2016 # expanded in the container
    reached=$(docker exec "$(id "$from")" bash -c 'IFS=,; for to in $1; do timeout 3 bash -c "</dev/tcp/${to%:*}/${to#*:}" 2>/dev/null && printf %s, "$to"; done; true' \
      bash "$a$b")
    [[ $reached == "$expected" ]] || fail "the places are $1: $from should reach ${expected%,}, and reaches ${reached%,}"
  done
}

clean_up() {
  local status=$?
  trap '' INT TERM
  trap - EXIT
  [[ -z ${follower:-} ]] || kill "$follower" 2>/dev/null || true
  case $status in
    0) ;;
    130 | 143) echo "demo: interrupted, removing everything" >&2 ;;
    *) echo "demo: failed; the last lines of each log, before everything is removed:" >&2
      compose logs --no-color --tail=12 >&2 || true ;;
  esac
  docker rm -f "$driver" >/dev/null 2>&1 || true
  compose down -v -t 1 >/dev/null 2>&1 || { echo "demo: not all is removed: $COMPOSE -p $project -f deploy/compose.yaml down -v" >&2; status=1; }
  exit "$status"
}

case ${1:-} in
  '' | --no-build) ;;
  *) sed -n '2,/^set /s/^# \{0,1\}//p' "$(basename "$0")" >&2; exit 2 ;;
esac
docker info >/dev/null 2>&1 || fail "no Docker engine answers"
[[ -z $(docker ps -aq --filter "label=com.docker.compose.project=$project")$(docker volume ls -q --filter "label=com.docker.compose.project=$project") ]] ||
  fail "there is something of project $project already: $COMPOSE -p $project -f deploy/compose.yaml down -v, or another PROJECT"

if [[ ${1:-} == --no-build ]]; then
  docker image inspect antiphon >/dev/null 2>&1 || fail "no image \`antiphon\`: run without --no-build"
else
  DOCKER_BUILDKIT=1 docker build -f Dockerfile -t antiphon ..
fi

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "starting two places, with two nodes and a Cassandra each"
quietly compose up -d --no-build
note_ids
everybody_ready
for service in cassandra-a cassandra-b; do
  syncs_before_it_answers "$service" || fail "$service does not run with commitlog_sync: batch, and would lose bids when it is killed"
  takes_only_encrypted "$service" || fail "$service takes connections without TLS"
done
for service in "${nodes[@]}"; do
  is_closed_to_strangers "$service" || fail "$service tells the cluster to a client without a certificate"
  tells_clients "$service" || fail "$service does not tell the cluster to a client with a certificate"
done
check_ways together

normal="all is well"
node="node-b1 is killed"
cassandra="cassandra-a is killed"
apart="the places are cut"
healed="the places are healed"
quietly compose run -d --no-deps --name "$driver" demo demo --pace "$pace" "${access[@]}" \
  --attach /etc/antiphon/dc-a.toml=node-a1.dc-a:8080,node-a2.dc-a:8080 \
  --attach /etc/antiphon/dc-b.toml=node-b1.dc-b:8080,node-b2.dc-b:8080 \
  --stage "$normal" --stage "$node" --stage "$cassandra" --stage "$apart" --stage "$healed"
docker logs -f "$driver" &
follower=$!

begins "$normal"
sleep "$each"
ends "$normal"

begins "$node"
say "docker kill node-b1"
docker kill "$(id node-b1)" >/dev/null
sleep "$each"
docker start "$(id node-b1)" >/dev/null
await "node-b1 ready" is_ready node-b1
ends "$node"

begins "$cassandra"
say "docker kill cassandra-a"
docker kill "$(id cassandra-a)" >/dev/null
sleep "$each"
docker start "$(id cassandra-a)" >/dev/null
everybody_ready
ends "$cassandra"

begins "$apart"
say "cutting the places from each other"
cut
check_ways cut
sleep "$each"
ends "$apart"
if driver_said "stage ended: $apart: 0 bids" || driver_said " 0 auctions apart"$'\n'"stage begins: $healed"; then fail "the cut did nothing"; fi

begins "$healed"
say "healing"
heal
check_ways together
everybody_ready
sleep "$each"
ends "$healed"

await "the checks" eval '[[ $(docker inspect -f "{{.State.Running}}" "$driver") == false ]]'
wait "$follower" || true
status=$(docker inspect -f '{{.State.ExitCode}}' "$driver")
[[ $status == 0 ]] || fail "a check failed"

say "stopping the nodes: SIGTERM drains them"
quietly compose stop "${nodes[@]}"
for service in "${nodes[@]}"; do
  status=$(docker inspect -f '{{.State.ExitCode}}' "$(id "$service")")
  [[ $status == 0 ]] || fail "$service ended with $status after SIGTERM"
done
say "all four ended well"
