package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic = "outbox.event.order"
	limit = 100_000
)

// errDuplicate ends a transaction in which there is nothing to do.
var errDuplicate = errors.New("handled before")

// payments handles messages in the name of one consumer.
type payments struct {
	consumer string
	database *pgx.Conn
}

func pay(ctx context.Context, count int) error {
	consumer := os.Getenv("CONSUMER")
	if consumer == "" {
		consumer = "payments"
	}
	database, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer database.Close(ctx)
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(os.Getenv("KAFKA")),
		kgo.ConsumerGroup(consumer),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// An offset is committed after the database has committed, never by a timer.
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		return err
	}
	defer kafka.Close()
	service := payments{consumer, database}
	for count > 0 {
		fetches := kafka.PollRecords(ctx, count)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if err := service.finish(ctx, record); err != nil {
				return err
			}
			if err := kafka.CommitRecords(ctx, record); err != nil {
				return err
			}
			count--
		}
	}
	return nil
}

// finish tries until the message is done with, so that nothing behind it overtakes it. franz-go goes
// on with its heartbeats meanwhile; waits as long as the group's rebalance timeout want a pause of
// the partition instead.
func (service payments) finish(ctx context.Context, record *kgo.Record) error {
	for {
		wait, err := service.handle(ctx, record)
		if err != nil || wait == nil {
			return err
		}
		time.Sleep(*wait)
	}
}

// handle handles a message once. A nil wait: done with; else how long to wait before the next try.
func (service payments) handle(ctx context.Context, record *kgo.Record) (*time.Duration, error) {
	id := header(record, "id")
	err := pgx.BeginFunc(ctx, service.database, func(tx pgx.Tx) error {
		row, err := tx.Exec(ctx, claim, service.consumer, id, record.Topic, record.Partition, record.Offset)
		if err != nil {
			return err
		}
		if row.RowsAffected() == 0 {
			return errDuplicate
		}
		return service.makePayment(ctx, tx, record.Value)
	})
	switch {
	case err == nil:
		fmt.Println("paid", id)
		return nil, nil
	case errors.Is(err, errDuplicate):
		fmt.Println("duplicate", id)
		return nil, nil
	case isOfDatabase(err):
		return nil, err
	}
	return service.fail(ctx, record, id, err)
}

func (service payments) makePayment(ctx context.Context, tx pgx.Tx, payload []byte) error {
	var order event
	if err := json.Unmarshal(payload, &order); err != nil {
		return err
	}
	const insert = `insert into payments (consumer, order_id, amount) values ($1, $2, $3)`
	if _, err := tx.Exec(ctx, insert, service.consumer, order.Order, order.Amount); err != nil {
		return err
	}
	if order.Amount > limit {
		return errors.New("the card's limit is exceeded")
	}
	return nil
}

// fail writes the failure down, after the rollback and in a transaction of its own.
func (service payments) fail(ctx context.Context, record *kgo.Record, id string, cause error) (*time.Duration, error) {
	pairs := make([][2]string, 0, len(record.Headers))
	for _, header := range record.Headers {
		pairs = append(pairs, [2]string{header.Key, string(header.Value)})
	}
	row := service.database.QueryRow(ctx, fail, service.consumer, id, record.Topic, record.Partition,
		record.Offset, cause.Error(), record.Key, record.Value, pairs)
	var state string
	var attempts int
	var next *time.Time
	err := row.Scan(&state, &attempts, &next)
	if errors.Is(err, pgx.ErrNoRows) { // Another instance has handled it meanwhile.
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if state == "DEAD" || next == nil {
		fmt.Println("dead", id, "after", attempts)
		return nil, nil
	}
	fmt.Println("failed", id, "after", attempts)
	wait := time.Until(*next)
	return &wait, nil
}

// isOfDatabase tells what is not the message's fault: the database is away, or wants the
// transaction again. The process ends, and goes on behind its last offset when it is started again.
func isOfDatabase(err error) bool {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		class := said.Code[:2]
		return class == "08" || class == "40" || class == "53" || class == "57"
	}
	var broken *pgconn.ConnectError
	return errors.As(err, &broken) || pgconn.SafeToRetry(err) || errors.Is(err, pgx.ErrTxClosed)
}

func header(record *kgo.Record, name string) string {
	for _, header := range record.Headers {
		if header.Key == name {
			return string(header.Value)
		}
	}
	return ""
}

// Both statements are those of docs/sql.md, with less patience: three attempts.
const (
	claim = `
insert into inbox.messages as m (consumer, message_id, state, attempts, topic, partition, "offset", completed_at)
values ($1, $2, 'COMPLETED', 1, $3, $4, $5, now())
on conflict (consumer, message_id) do update
   set state = 'COMPLETED', attempts = m.attempts + 1, completed_at = now(), next_attempt_at = null,
       key = null, payload = null, headers = null
 where m.state = 'FAILED'`
	fail = `
insert into inbox.messages as m (consumer, message_id, state, attempts, next_attempt_at, topic, partition, "offset",
                                 last_error, key, payload, headers)
values ($1, $2, 'FAILED', 1, now() + interval '200 ms', $3, $4, $5, $6, $7, $8, $9)
on conflict (consumer, message_id) do update
   set attempts = m.attempts + 1, last_error = excluded.last_error,
       state = case when m.attempts + 1 < 3 then 'FAILED' else 'DEAD' end,
       next_attempt_at = case when m.attempts + 1 < 3 then now() + interval '200 ms' * 2 ^ m.attempts end
 where m.state = 'FAILED'
returning state, attempts, next_attempt_at`
)
