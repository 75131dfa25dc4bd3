#!/bin/bash
# Starts Cassandra with the variables of the official image that compose.yaml sets. Every other
# setting is as in the configuration that comes with the server, `commitlog_sync: periodic`
# included.
set -euo pipefail
[[ $* == 'cassandra -f' ]] || exec "$@"

address=${CASSANDRA_LISTEN_ADDRESS:-$(hostname -i | cut -d' ' -f1)}
cat >/etc/cassandra/cassandra.yaml <<YAML
cluster_name: '${CASSANDRA_CLUSTER_NAME:-Test Cluster}'
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: ${CASSANDRA_ENDPOINT_SNITCH:-SimpleSnitch}
seed_provider: [{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "${CASSANDRA_SEEDS:-$address}"}]}]
listen_address: $address
rpc_address: 0.0.0.0
broadcast_rpc_address: ${CASSANDRA_BROADCAST_RPC_ADDRESS:-$address}
commitlog_sync: periodic
commitlog_sync_period: 10000ms
YAML
printf 'dc=%s\nrack=%s\n' "${CASSANDRA_DC:-dc1}" "${CASSANDRA_RACK:-rack1}" >/etc/cassandra/cassandra-rackdc.properties
chown -R cassandra:cassandra /etc/cassandra /var/lib/cassandra

# shellcheck disable=SC2086 # each variable has several words
exec setpriv --reuid cassandra --regid cassandra --init-groups java @/etc/cassandra/java-flags \
  -Xms"${MAX_HEAP_SIZE:?}" -Xmx"$MAX_HEAP_SIZE" -Xss512k -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError \
  -javaagent:"$(echo /opt/cassandra/lib/jamm-*.jar)" -Djdk.attach.allowAttachSelf=true -Djava.net.preferIPv4Stack=true \
  -Dcassandra.config=file:///etc/cassandra/cassandra.yaml -Dcassandra.storagedir=/var/lib/cassandra -Dcassandra-foreground=yes \
  ${JVM_EXTRA_OPTS:-} -cp '/etc/cassandra:/opt/cassandra/lib/*' org.apache.cassandra.service.CassandraDaemon
