package shop;

import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

/** A business entity: it knows nothing of events. */
@Entity
@Table(name = "orders")
public class Order {
    @Id String id;
    int amount;

    protected Order() {}

    Order(String id, int amount) {
        this.id = id;
        this.amount = amount;
    }
}
