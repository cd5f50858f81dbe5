package shop;

/** The payload: what the order service promises to its readers. */
record OrderPlaced(String order, int amount) {}
