//! `config print`: complete, and readable by the program that printed it.

use super::Given;

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let first = Given::minimum()
        .file(
            "[columns]\nextra = [{ column = 'tenant', as = 'x-tenant' }]\n\
             [topic]\ntemplate = 'a.${aggregatetype}'\nmap = { 'order.v2' = '$${x}' }\n\
             [errors]\nbackoff = '1s 500ms..1m'\n",
        )
        .printed();
    let again = Given::empty().file(&first).printed();
    assert_eq!(values(&first), values(&again));
}

/// Without the comments, which name other places the second time.
fn values(printed: &str) -> Vec<&str> {
    printed.lines().map(|line| line.split(" # ").next().unwrap_or(line)).collect()
}

#[test]
fn says_where_each_value_came_from() {
    let printed = Given::minimum()
        .file("[log]\nlevel = 'warn'")
        .variable("OUTBOXD_KAFKA__LINGER", "5ms")
        .printed();
    for line in [
        "level = \"warn\" # file outboxd.toml:2",
        "linger = \"5ms\" # environment variable OUTBOXD_KAFKA__LINGER",
        "bootstrap_servers = [\"kafka:9092\"] # flag --kafka",
        "slot = \"outboxd_shop\" # derived",
        "compression = \"lz4\" # default",
        "# failover is not set",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\nin\n{printed}");
    }
}

#[test]
fn needs_nothing_to_print() {
    assert!(Given::empty().printed().contains("# url is not set"));
}
