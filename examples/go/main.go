// An order service and a payment service: an event appended in the business transaction, and an
// effect that happens once.
//
//	shop order ORDER_ID AMOUNT   place an order, with its event
//	shop pay COUNT               handle messages until COUNT of them are done with
//
// Addresses come from DATABASE_URL and KAFKA. CONSUMER names the consumer; "payments" by default.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "order":
		amount, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return order(ctx, args[1], amount)
	case len(args) == 2 && args[0] == "pay":
		count, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return pay(ctx, count)
	}
	return fmt.Errorf("usage: shop order ORDER_ID AMOUNT | shop pay COUNT")
}
