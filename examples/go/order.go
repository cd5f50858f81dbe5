package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// event is the payload: what this service promises to its readers.
type event struct {
	Order  string `json:"order"`
	Amount int    `json:"amount"`
}

func order(ctx context.Context, orderID string, amount int) error {
	connection, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer connection.Close(ctx)
	// Ids that rise with time keep the table's index small.
	eventID, err := uuid.NewV7()
	if err != nil {
		return err
	}
	payload, err := json.Marshal(event{orderID, amount})
	if err != nil {
		return err
	}
	// One transaction: it commits when the function returns nil, and any error rolls both rows back.
	err = pgx.BeginFunc(ctx, connection, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, appendEvent, eventID, orderID, payload); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into orders (id, amount) values ($1, $2)`, orderID, amount)
		return err
	})
	if err == nil {
		fmt.Println("ordered", eventID)
	}
	return err
}

const appendEvent = `
	insert into outbox.events (id, aggregatetype, aggregateid, type, payload)
	values ($1, 'order', $2, 'OrderPlaced', $3)`
