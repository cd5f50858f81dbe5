package shop;

import jakarta.persistence.EntityManagerFactory;
import jakarta.persistence.Persistence;
import java.net.URI;
import java.util.Map;

/**
 * An order service and a payment service: an event appended in the business transaction, and an
 * effect that happens once.
 *
 * <p>{@code order ORDER_ID AMOUNT} places an order, with its event. {@code pay COUNT} handles
 * messages until COUNT of them are done with. Addresses come from DATABASE_URL and KAFKA. CONSUMER
 * names the consumer; "payments" by default.
 */
public final class Shop {
    public static void main(String[] args) throws Exception {
        try (EntityManagerFactory database = connect(URI.create(System.getenv("DATABASE_URL")))) {
            if (args.length == 3 && args[0].equals("order")) {
                new Orders(database).place(args[1], Integer.parseInt(args[2]));
            } else if (args.length == 2 && args[0].equals("pay")) {
                String consumer = System.getenv().getOrDefault("CONSUMER", "payments");
                new Payments(database, consumer).run(System.getenv("KAFKA"), Integer.parseInt(args[1]));
            } else {
                throw new IllegalArgumentException("order ORDER_ID AMOUNT | pay COUNT");
            }
        }
    }

    private static EntityManagerFactory connect(URI url) {
        String[] login = url.getUserInfo().split(":", 2);
        String address = "jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath();
        return Persistence.createEntityManagerFactory("shop", Map.of(
                "jakarta.persistence.jdbc.url", address,
                "jakarta.persistence.jdbc.user", login[0],
                "jakarta.persistence.jdbc.password", login.length > 1 ? login[1] : ""));
    }
}
