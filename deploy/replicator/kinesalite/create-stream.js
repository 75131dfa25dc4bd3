// Creates a Kinesis stream with one shard and waits until it is active: `node create-stream.js URL
// NAME`.
const [url, name] = process.argv.slice(2);

async function call(action, body) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/x-amz-json-1.1',
      'X-Amz-Target': `Kinesis_20131202.${action}`,
      // kinesalite requires a signature and does not check it
      'X-Amz-Date': '20200101T000000Z',
      Authorization:
        'AWS4-HMAC-SHA256 Credential=test/20200101/eu-west-1/kinesis/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok && !text.includes('ResourceInUseException')) throw new Error(`${action}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : {};
}

async function main() {
  await call('CreateStream', { StreamName: name, ShardCount: 1 });
  for (let tries = 0; tries < 100; tries++) {
    const { StreamDescriptionSummary: summary } = await call('DescribeStreamSummary', { StreamName: name });
    if (summary.StreamStatus === 'ACTIVE') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`stream ${name} did not become active`);
}

main().catch((error) => {
  console.error(`error: ${error.message}`);
  process.exit(1);
});
