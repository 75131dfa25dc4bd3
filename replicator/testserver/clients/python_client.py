"""The Python client of KurrentDB against the test server. Names of streams are new in each run."""

import sys
import uuid

from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import NotFoundError, WrongCurrentVersionError

client = KurrentDBClient(uri=sys.argv[1])
passed = 0


def check(what, condition):
    global passed
    assert condition, what
    passed += 1
    print("ok", what)


def events(count):
    return [NewEvent(type="Counted", data=b'{"n":%d}' % n) for n in range(count)]


stream = f"python-{uuid.uuid4()}"
batch = events(3)
first = client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=batch)
check("append gives a commit position", first > 0)
read = client.get_stream(stream)
check("events come back with their ids", [e.id for e in read] == [e.id for e in batch])
check("and with their data", [e.data for e in read] == [e.data for e in batch])
client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=batch)
check("a repeated append writes nothing", len(client.get_stream(stream)) == 3)
try:
    client.append_to_stream(stream, current_version=0, events=events(1))
    check("a wrong version is refused", False)
except WrongCurrentVersionError:
    check("a wrong version is refused", True)
back = client.get_stream(stream, backwards=True, limit=1)
check("backwards reads from the end", back[0].stream_position == 2)
try:
    client.get_stream("missing-" + stream)
    check("a missing stream is not found", False)
except NotFoundError:
    check("a missing stream is not found", True)

with client.subscribe_to_stream("$ce-customer", resolve_links=True) as subscription:
    event = next(iter(subscription))
    check("a link is resolved", event.stream_name == "customer-1" and event.link is not None)
with client.subscribe_to_all(filter_include=[stream], filter_by_stream_name=True) as subscription:
    got = [next(iter(subscription)).id for _ in range(3)]
    check("a filter on $all works", got == [e.id for e in batch])

metadata, version = client.get_stream_metadata(stream)
metadata["$maxCount"] = 1
client.set_stream_metadata(stream, metadata=metadata, current_version=StreamState.ANY)
check("$maxCount truncates", len(client.get_stream(stream)) == 1)

group = f"group-{uuid.uuid4()}"
client.create_subscription_to_stream(group, "$ce-customer", resolve_links=True, from_end=False)
consumer = client.read_subscription_to_stream(group, "$ce-customer")
for n, event in enumerate(consumer):
    if n == 0:
        check("a group delivers", event.stream_name == "customer-1")
        consumer.nack(event, action="retry")
    elif event.retry_count == 1:
        check("a nacked event comes again", event.stream_name == "customer-1")
        consumer.ack(event)
        break
    else:
        consumer.ack(event)
consumer.stop()
info = client.get_subscription_info(group, "$ce-customer")
check("the group tells about itself", info.group_name == group)
client.delete_subscription(group, "$ce-customer")

client.delete_stream(stream, current_version=StreamState.ANY)
client.tombstone_stream(stream, current_version=StreamState.ANY)
check("deleted and tombstoned", True)
client.close()
print(f"{passed} passed, 0 failed")
