// The Node client of KurrentDB with the test server. Stream names are new in each run.

import { randomUUID } from "node:crypto";
import {
  KurrentDBClient, jsonEvent, FORWARDS, BACKWARDS, START, END, NO_STREAM, ANY,
  streamNameFilter, persistentSubscriptionToStreamSettingsFromDefaults,
} from "@kurrent/kurrentdb-client";

const client = KurrentDBClient.connectionString(process.argv[2]);
let passed = 0;
function check(what, condition) {
  if (!condition) throw new Error(what);
  passed += 1;
  console.log("ok", what);
}
async function first(stream, count) {
  const got = [];
  for await (const event of stream) {
    got.push(event);
    if (got.length === count) return got;
  }
  return got;
}

const stream = `node-${randomUUID()}`;
const events = [0, 1, 2].map((n) => jsonEvent({ type: "Counted", data: { n } }));
const written = await client.appendToStream(stream, events, { streamState: NO_STREAM });
check("append succeeds", written.success && written.nextExpectedRevision === 2n);
const read = await first(client.readStream(stream, { direction: FORWARDS, fromRevision: START }), 9);
check("events come back with ids and data",
  read.every(({ event }, n) => event.id === events[n].id && event.data.n === n) && read.length === 3);
const repeated = await client.appendToStream(stream, events, { streamState: NO_STREAM });
check("a repeated append writes nothing", repeated.success && repeated.nextExpectedRevision === 2n);
let refused;
try { await client.appendToStream(stream, [jsonEvent({ type: "x", data: {} })], { streamState: 0n }); }
catch (error) { refused = error.type ?? error.name; }
check("a wrong version is refused", /wrong/i.test(refused ?? ""));
const last = await first(client.readStream(stream, { direction: BACKWARDS, fromRevision: END, maxCount: 1 }), 1);
check("backwards reads from the end", last[0].event.revision === 2n);

const category = client.subscribeToStream("$ce-customer", { fromRevision: START, resolveLinkTos: true });
const [linked] = await first(category, 1);
check("a link is resolved", linked.event.streamId === "customer-1" && linked.link.streamId === "$ce-customer");
const all = client.subscribeToAll({ fromPosition: START, filter: streamNameFilter({ prefixes: [stream] }) });
const filtered = await first(all, 3);
check("a filter on $all works", filtered.every(({ event }, n) => event.id === events[n].id));

await client.setStreamMetadata(stream, { maxCount: 1 });
const kept = await first(client.readStream(stream, { direction: FORWARDS, fromRevision: START }), 9);
check("$maxCount truncates", kept.length === 1);

const group = `group-${randomUUID()}`;
const settings = persistentSubscriptionToStreamSettingsFromDefaults({ resolveLinkTos: true, startFrom: START });
await client.createPersistentSubscriptionToStream("$ce-customer", group, settings);
const consumer = client.subscribeToPersistentSubscriptionToStream("$ce-customer", group, { bufferSize: 1 });
let seen = 0;
for await (const event of consumer) {
  seen += 1;
  if (seen === 1) {
    check("a group delivers", event.event.streamId === "customer-1");
    await consumer.nack("retry", "again", event);
  } else {
    check("a nacked event comes again", event.event.streamId === "customer-1");
    await consumer.ack(event);
    break;
  }
}
await consumer.unsubscribe?.();
const info = await client.getPersistentSubscriptionToStreamInfo("$ce-customer", group);
check("the group tells about itself", info.groupName === group);
await client.deletePersistentSubscriptionToStream("$ce-customer", group);
await client.deleteStream(stream, { expectedRevision: ANY });
await client.tombstoneStream(stream, { expectedRevision: ANY });
check("deleted and tombstoned", true);
console.log(`${passed} passed, 0 failed`);
await client.dispose();
process.exit(0);
