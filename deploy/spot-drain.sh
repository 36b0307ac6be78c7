#!/usr/bin/env bash
# Asks the cloud every few seconds whether this spot node is about to be taken away; once it is,
# tells Ray: no new work comes here, and what runs may end. Then it ends itself.
#
#   spot-drain.sh aws|gcp ADDRESS_OF_THE_HEAD:6379
#
# AWS gives two minutes, Google 30 s. One runs at a time; a second ends at once. METADATA, POLL_S and
# LOCK are there for tests.
set -uo pipefail
exec 9> "${LOCK:-/tmp/spot-drain.lock}" && flock --nonblock 9 || exit 0
cloud=${1:?aws or gcp} head=${2:?address of the head}

notice() { # succeeds when the node is going
  case $cloud in
    aws) # 404 until there is a notice
      local token
      token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
        "$metadata/latest/api/token") || return 1
      curl -sf -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: $token" \
        "$metadata/latest/meta-data/spot/instance-action"
      ;;
    gcp)
      [ "$(curl -sf -m 2 -H 'Metadata-Flavor: Google' \
        "$metadata/computeMetadata/v1/instance/preempted")" = TRUE ]
      ;;
  esac
}

case $cloud in
  aws) metadata=${METADATA:-http://169.254.169.254} left_s=100 ;;
  gcp) metadata=${METADATA:-http://metadata.google.internal} left_s=25 ;;
  *) echo "error: $cloud: expected aws or gcp" >&2; exit 2 ;;
esac
until notice; do sleep "${POLL_S:-5}"; done
echo "$(date -u +%FT%TZ) spot notice: this node is drained"
for _ in 1 2 3; do
  ray drain-node --address "$head" --reason DRAIN_NODE_REASON_PREEMPTION \
    --reason-message "the cloud takes this spot node away" \
    --deadline-remaining-seconds "$left_s" && exit 0
  sleep 1
done
echo "error: Ray did not take the notice" >&2
exit 1
