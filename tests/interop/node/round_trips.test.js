// What kafkajs must be able to do with a server that it takes for Kafka; `make interop` runs it with RAYLOG_BOOTSTRAP set.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { CompressionTypes, Kafka, logLevel } = require("kafkajs");

const kafka = new Kafka({ brokers: [process.env.RAYLOG_BOOTSTRAP], logLevel: logLevel.WARN });

async function withClient(client, use) {
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.disconnect();
  }
}

const withAdmin = (use) => withClient(kafka.admin(), use);
const createTopic = (topic, numPartitions, configEntries = []) =>
  withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: true }));

const numbered = (topic, count) =>
  Array.from({ length: count }, (_, i) => ({ key: `k${i % 17}`, value: `${topic}-${String(i).padStart(6, "0")}` }));

const produce = (topic, messages, sending = {}, options = {}) =>
  withClient(kafka.producer(options), (producer) => producer.send({ topic, messages, ...sending }));

// Runs a group member until it has seen `count` messages; resolves with them after the member has left.
async function consume(topic, groupId, count, options = {}) {
  const seen = [];
  await withClient(kafka.consumer({ groupId, ...options }), async (consumer) => {
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
      consumer
        .run({
          eachMessage: async ({ partition, message }) => {
            seen.push({ partition, ...message });
            if (seen.length === count) resolve();
          },
        })
        .catch(reject);
    });
  });
  return seen;
}

const values = (messages) => messages.map(({ value }) => value.toString()).sort();

test("plain and gzip messages round trip through a group", async () => {
  for (const [name, compression] of [["none", CompressionTypes.None], ["gzip", CompressionTypes.GZIP]]) {
    const topic = `node-codec-${name}`;
    await createTopic(topic, 3);
    const sent = numbered(topic, 2000);
    await produce(topic, sent, { compression });
    assert.deepEqual(values(await consume(topic, topic, 2000)), sent.map(({ value }) => value));
  }
});

test("keys, headers, nulls and timestamps are kept", async () => {
  const topic = "node-fields";
  await createTopic(topic, 1);
  await produce(topic, [
    { key: "k", value: null, timestamp: "1700000000123" },
    { key: null, value: "", headers: { h: ["1", "2"] } },
  ]);
  const [first, second] = await consume(topic, topic, 2);
  assert.equal(first.key.toString(), "k");
  assert.equal(first.value, null);
  assert.equal(first.timestamp, "1700000000123");
  assert.equal(first.offset, "0");
  assert.equal(second.key, null);
  assert.equal(second.value.length, 0);
  assert.deepEqual(second.headers.h.map(String), ["1", "2"]);
});

test("an idempotent producer, acks 0 and acks 1", async () => {
  const topic = "node-acks";
  await createTopic(topic, 1);
  const sent = numbered(topic, 300);
  await produce(topic, sent.slice(0, 100), {}, { idempotent: true, maxInFlightRequests: 1 });
  await produce(topic, sent.slice(100, 200), { acks: 1 });
  await produce(topic, sent.slice(200), { acks: 0 });
  assert.deepEqual(values(await consume(topic, topic, 300)), sent.map(({ value }) => value));
});

test("a topic is created by its first producer", async () => {
  await produce("node-auto-created", numbered("node-auto-created", 10));
  assert.equal((await consume("node-auto-created", "node-auto-created", 10)).length, 10);
});

test("a group resumes where it committed, and two members share a topic", async () => {
  const topic = "node-group";
  await createTopic(topic, 4);
  await produce(topic, numbered(topic, 400));
  await consume(topic, topic, 400);
  await produce(topic, [{ key: "k", value: "later" }]);
  assert.deepEqual(values(await consume(topic, topic, 1)), ["later"]);

  const members = [kafka.consumer({ groupId: topic }), kafka.consumer({ groupId: topic })];
  try {
    const shares = members.map(
      (member) =>
        new Promise((resolve) => {
          member.on(member.events.GROUP_JOIN, ({ payload }) => {
            const share = payload.memberAssignment[topic] ?? [];
            if (share.length === 2) resolve(share);
          });
        }),
    );
    for (const member of members) {
      await member.connect();
      await member.subscribe({ topic });
      await member.run({ eachMessage: async () => {} });
    }
    assert.deepEqual((await Promise.all(shares)).flat().sort(), [0, 1, 2, 3]);
  } finally {
    await Promise.all(members.map((member) => member.disconnect()));
  }
});

test("the admin client manages topics, configs, offsets, records and groups", async () => {
  const topic = "node-admin";
  await withAdmin(async (admin) => {
    await admin.createTopics({
      topics: [{ topic, numPartitions: 2, configEntries: [{ name: "retention.ms", value: "3600000" }] }],
    });
    assert.equal(await admin.createTopics({ topics: [{ topic }] }), false, "it exists already");
    assert.ok((await admin.listTopics()).includes(topic));
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    const metadata = await admin.fetchTopicMetadata({ topics: [topic] });
    assert.equal(metadata.topics[0].partitions.length, 3);
    const cluster = await admin.describeCluster();
    assert.equal(cluster.brokers.length, 1);
    assert.ok(cluster.clusterId);

    await admin.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: [{ name: "cleanup.policy", value: "compact" }] }] });
    const described = await admin.describeConfigs({ resources: [{ type: 2, name: topic }] });
    const configs = Object.fromEntries(described.resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]));
    assert.equal(configs["cleanup.policy"], "compact");
    await admin.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: [{ name: "cleanup.policy", value: "delete" }] }] });

    await produce(topic, Array.from({ length: 10 }, (_, i) => ({ partition: 0, value: `${i}`, timestamp: `${1700000000000 + 1000 * i}` })));
    const offsets = await admin.fetchTopicOffsets(topic);
    assert.deepEqual(offsets.find(({ partition }) => partition === 0), { partition: 0, offset: "10", low: "0", high: "10" });
    const byTime = await admin.fetchTopicOffsetsByTimestamp(topic, 1700000003500);
    assert.equal(byTime.find(({ partition }) => partition === 0).offset, "4");
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "6" }] });
    assert.equal((await admin.fetchTopicOffsets(topic)).find(({ partition }) => partition === 0).low, "6");
    assert.equal((await consume(topic, topic, 4))[0].offset, "6");

    assert.ok((await admin.listGroups()).groups.some(({ groupId }) => groupId === topic));
    assert.equal((await admin.describeGroups([topic])).groups[0].state, "Empty");
    await admin.resetOffsets({ groupId: topic, topic, earliest: true });
    await admin.setOffsets({ groupId: topic, topic, partitions: [{ partition: 0, offset: "8" }] });
    const [fetched] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
    assert.equal(fetched.partitions.find(({ partition }) => partition === 0).offset, "8");
    await admin.deleteGroups([topic]);
    await admin.deleteTopics({ topics: [topic] });
    assert.ok(!(await admin.listTopics()).includes(topic));
  });
});
