package shop;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.persistence.EntityManagerFactory;

/** The order service. */
final class Orders {
    private final EntityManagerFactory database;
    private final ObjectMapper json = new ObjectMapper();

    Orders(EntityManagerFactory database) {
        this.database = database;
    }

    /** One transaction: any exception rolls back both the order and its event. */
    void place(String orderId, int amount) throws JsonProcessingException {
        String payload = json.writeValueAsString(new OrderPlaced(orderId, amount));
        OutboxEvent event = new OutboxEvent("order", orderId, "OrderPlaced", payload);
        database.runInTransaction(entities -> {
            entities.persist(event);
            entities.persist(new Order(orderId, amount));
        });
        System.out.println("ordered " + event.id);
    }
}
