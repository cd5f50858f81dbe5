package shop;

import jakarta.persistence.Column;
import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.IdClass;
import jakarta.persistence.Table;
import java.io.Serializable;

/** The effect of a message. */
@Entity
@Table(name = "payments")
@IdClass(Payment.Key.class)
public class Payment {
    record Key(String consumer, String orderId) implements Serializable {}

    @Id String consumer;

    @Id
    @Column(name = "order_id")
    String orderId;

    int amount;

    protected Payment() {}

    Payment(String consumer, String orderId, int amount) {
        this.consumer = consumer;
        this.orderId = orderId;
        this.amount = amount;
    }
}
