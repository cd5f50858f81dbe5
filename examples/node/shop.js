// An order service and a payment service: an event appended in the business transaction, and an
// effect that happens once.
//
//   node shop.js order ORDER_ID AMOUNT   place an order, with its event
//   node shop.js pay COUNT               handle messages until COUNT of them are done with
//
// Addresses come from DATABASE_URL and KAFKA. CONSUMER names the consumer; "payments" by default.

import { randomUUID } from "node:crypto";
import kafkajs from "kafkajs";
import lz4 from "lz4js";
import pg from "pg";

const CONSUMER = process.env.CONSUMER ?? "payments";
const TOPIC = "outbox.event.order";
const LIMIT = 100_000;

// The relay compresses with lz4 unless told otherwise (kafka.compression), which KafkaJS cannot read
// by itself.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
});

async function order(database, orderId, amount) {
  const eventId = randomUUID();
  await transaction(database, async () => {
    await database.query(
      `insert into outbox.events (id, aggregatetype, aggregateid, type, payload)
       values ($1, 'order', $2, 'OrderPlaced', $3)`,
      [eventId, orderId, JSON.stringify({ order: orderId, amount })],
    );
    await database.query("insert into orders (id, amount) values ($1, $2)", [orderId, amount]);
  });
  console.log(`ordered ${eventId}`);
}

async function pay(database, count) {
  const kafka = new kafkajs.Kafka({
    brokers: process.env.KAFKA.split(","),
    logLevel: kafkajs.logLevel.ERROR,
  });
  const consumer = kafka.consumer({ groupId: CONSUMER });
  await consumer.connect();
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({
      // An offset is committed after the database has committed, never by a timer.
      autoCommit: false,
      eachMessage: async ({ topic, partition, message, heartbeat }) => {
        if (count === 0) return;
        const place = [topic, partition, message.offset];
        // Until it is done with, so that nothing behind it overtakes it. The heartbeat keeps the
        // partition during short waits; pause() it for longer ones.
        for (let wait; (wait = await handle(database, place, message)) !== null; ) {
          await new Promise((wake) => setTimeout(wake, wait));
          await heartbeat();
        }
        const offset = (BigInt(message.offset) + 1n).toString();
        await consumer.commitOffsets([{ topic, partition, offset }]);
        count -= 1;
        if (count === 0) resolve();
      },
    });
  });
  await consumer.disconnect();
}

// Handles a message once. null: done with; else after how many milliseconds to try again.
async function handle(database, place, message) {
  const headers = Object.entries(message.headers).map(([name, value]) => [name, value.toString()]);
  const eventId = message.headers.id.toString();
  try {
    const isNew = await transaction(database, async () => {
      const claimed = await database.query(CLAIM, [CONSUMER, eventId, ...place]);
      if (claimed.rowCount === 0) return false;
      await makePayment(database, JSON.parse(message.value.toString()));
      return true;
    });
    console.log(`${isNew ? "paid" : "duplicate"} ${eventId}`);
    return null;
  } catch (error) {
    // The database is away, or wants the transaction again: not the message's fault.
    if (/^(08|40|53|57|E[A-Z])/.test(error.code ?? "")) throw error;
    return fail(database, eventId, [...place, error.message, message.key, message.value, JSON.stringify(headers)]);
  }
}

async function makePayment(database, event) {
  await database.query("insert into payments (consumer, order_id, amount) values ($1, $2, $3)", [
    CONSUMER,
    event.order,
    event.amount,
  ]);
  if (event.amount > LIMIT) throw new Error("the card's limit is exceeded");
}

// Writes the failure down, after the rollback and in a transaction of its own.
async function fail(database, eventId, what) {
  const { rows } = await database.query(FAIL, [CONSUMER, eventId, ...what]);
  if (rows.length === 0) return null; // Another instance has handled it meanwhile.
  const [{ state, attempts, next_attempt_at }] = rows;
  console.log(`${state.toLowerCase()} ${eventId} after ${attempts}`);
  return state === "DEAD" ? null : Math.max(0, next_attempt_at - Date.now());
}

// One transaction around what is done: any error rolls all of it back. Always on one connection: a
// pool would run each statement on another one.
async function transaction(database, work) {
  await database.query("begin");
  try {
    const result = await work();
    await database.query("commit");
    return result;
  } catch (error) {
    await database.query("rollback");
    throw error;
  }
}

// Both statements are those of docs/sql.md, with less patience: three attempts.
const CLAIM = `
insert into inbox.messages as m (consumer, message_id, state, attempts, topic, partition, "offset", completed_at)
values ($1, $2, 'COMPLETED', 1, $3, $4, $5, now())
on conflict (consumer, message_id) do update
   set state = 'COMPLETED', attempts = m.attempts + 1, completed_at = now(), next_attempt_at = null,
       key = null, payload = null, headers = null
 where m.state = 'FAILED'`;
const FAIL = `
insert into inbox.messages as m (consumer, message_id, state, attempts, next_attempt_at, topic, partition, "offset",
                                 last_error, key, payload, headers)
values ($1, $2, 'FAILED', 1, now() + interval '200 ms', $3, $4, $5, $6, $7, $8, $9)
on conflict (consumer, message_id) do update
   set attempts = m.attempts + 1, last_error = excluded.last_error,
       state = case when m.attempts + 1 < 3 then 'FAILED' else 'DEAD' end,
       next_attempt_at = case when m.attempts + 1 < 3 then now() + interval '200 ms' * 2 ^ m.attempts end
 where m.state = 'FAILED'
returning state, attempts, next_attempt_at`;

const database = new pg.Client({ connectionString: process.env.DATABASE_URL });
await database.connect();
const [command, ...args] = process.argv.slice(2);
if (command === "order" && args.length === 2) {
  await order(database, args[0], Number(args[1]));
} else if (command === "pay" && args.length === 1) {
  await pay(database, Number(args[0]));
} else {
  console.error("usage: shop.js order ORDER_ID AMOUNT | shop.js pay COUNT");
  process.exitCode = 2;
}
await database.end();
