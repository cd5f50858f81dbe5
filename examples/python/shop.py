"""An order service and a payment service: an event appended in the business transaction, and an
effect that happens once.

    shop.py order ORDER_ID AMOUNT    place an order, with its event
    shop.py pay COUNT                handle messages until COUNT of them are done with

Addresses come from DATABASE_URL and KAFKA. CONSUMER names the consumer; "payments" by default.
"""

import json
import os
import sys
import time
import uuid
from datetime import datetime, timezone

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

CONSUMER = os.environ.get("CONSUMER", "payments")
TOPIC = "outbox.event.order"
LIMIT = 100_000


def order(order_id: str, amount: int) -> None:
    event_id = uuid.uuid4()
    payload = json.dumps({"order": order_id, "amount": amount})
    # The block is one transaction: it commits at its end, and an exception rolls both rows back.
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute(
            "insert into outbox.events (id, aggregatetype, aggregateid, type, payload)"
            " values (%s, 'order', %s, 'OrderPlaced', %s)",
            (event_id, order_id, payload),
        )
        connection.execute("insert into orders (id, amount) values (%s, %s)", (order_id, amount))
    print(f"ordered {event_id}", flush=True)


def pay(count: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA"],
            "group.id": CONSUMER,
            "auto.offset.reset": "earliest",
            # An offset is committed after the database has committed, never by a timer.
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([TOPIC])
    # Each statement commits by itself unless a transaction is opened.
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        while count > 0:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            wait = handle(connection, message)
            if wait is None:
                consumer.commit(message, asynchronous=False)
                count -= 1
            else:
                # The same message again, so that nothing behind it overtakes it. A wait as long as
                # max.poll.interval.ms would cost the partition: pause it then, and poll on.
                time.sleep(wait)
                consumer.seek(TopicPartition(TOPIC, message.partition(), message.offset()))
    consumer.close()


def handle(connection: psycopg.Connection, message) -> float | None:
    """Handles a message once. None: done with; else after how many seconds to try again."""
    headers = {name: value.decode() for name, value in message.headers()}
    event_id = headers["id"]
    try:
        with connection.transaction():
            if not claim(connection, event_id, message):
                print(f"duplicate {event_id}", flush=True)
                return None
            make_payment(connection, json.loads(message.value()))
    except psycopg.OperationalError:
        raise  # The database is away, or wants the transaction again: not the message's fault.
    except Exception as error:  # Whatever else the effect does: this message cannot be handled now.
        return fail(connection, event_id, message, headers, error)
    print(f"paid {event_id}", flush=True)
    return None


def make_payment(connection: psycopg.Connection, event: dict) -> None:
    connection.execute(
        "insert into payments (consumer, order_id, amount) values (%s, %s, %s)",
        (CONSUMER, event["order"], event["amount"]),
    )
    if event["amount"] > LIMIT:
        raise ValueError("the card's limit is exceeded")


def claim(connection: psycopg.Connection, event_id: str, message) -> bool:
    """True: not handled before, or failed; the row commits together with the effect."""
    place = (message.topic(), message.partition(), message.offset())
    return connection.execute(CLAIM, (CONSUMER, event_id, *place)).rowcount == 1


def fail(connection: psycopg.Connection, event_id: str, message, headers: dict, error) -> float | None:
    """Writes the failure down, after the rollback and in a transaction of its own."""
    place = (message.topic(), message.partition(), message.offset())
    what = (str(error), message.key(), message.value(), json.dumps(list(headers.items())))
    row = connection.execute(FAIL, (CONSUMER, event_id, *place, *what)).fetchone()
    if row is None:  # Another instance has handled it meanwhile.
        return None
    state, attempts, next_attempt_at = row
    print(f"{state.lower()} {event_id} after {attempts}", flush=True)
    if state == "DEAD":
        return None
    return max(0.0, (next_attempt_at - datetime.now(timezone.utc)).total_seconds())


# Both statements are those of docs/sql.md, with less patience: three attempts.
CLAIM = """
insert into inbox.messages as m (consumer, message_id, state, attempts, topic, partition, "offset", completed_at)
values (%s, %s, 'COMPLETED', 1, %s, %s, %s, now())
on conflict (consumer, message_id) do update
   set state = 'COMPLETED', attempts = m.attempts + 1, completed_at = now(), next_attempt_at = null,
       key = null, payload = null, headers = null
 where m.state = 'FAILED'
"""
FAIL = """
insert into inbox.messages as m (consumer, message_id, state, attempts, next_attempt_at, topic, partition, "offset",
                                 last_error, key, payload, headers)
values (%s, %s, 'FAILED', 1, now() + interval '200 ms', %s, %s, %s, %s, %s, %s, %s)
on conflict (consumer, message_id) do update
   set attempts = m.attempts + 1, last_error = excluded.last_error,
       state = case when m.attempts + 1 < 3 then 'FAILED' else 'DEAD' end,
       next_attempt_at = case when m.attempts + 1 < 3 then now() + interval '200 ms' * 2 ^ m.attempts end
 where m.state = 'FAILED'
returning state, attempts, next_attempt_at
"""

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["order", order_id, amount]:
            order(order_id, int(amount))
        case ["pay", count]:
            pay(int(count))
        case _:
            sys.exit(__doc__)
